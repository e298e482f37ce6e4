/** Markdown of a model or a person, block by block, as markup that nothing harmful survives in. */

import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";
import { text } from "./i18n.js";
import { highlighted } from "./highlight.js";

const md = new MarkdownIt({ html: false, linkify: true, breaks: true });
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });

/** What a link may open. Everything else is shown as it was written. */
md.validateLink = (url) => /^(https?|mailto):/i.test(url.trim());

const ALLOWED = {
  RETURN_TRUSTED_TYPE: true,
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "button", "code", "div", "em", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol",
    "p", "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["class", "dir", "href", "rel", "start", "tabindex", "target", "type"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  // All attributes but these must look like such an address.
  ADD_URI_SAFE_ATTR: ["dir", "rel", "start", "tabindex", "target", "type"],
};

/**
 * Each block finds its own direction: people mix scripts within one answer. An element that should
 * find it does not look into those inside that have a `dir`, so paragraphs in an item have none.
 */
const HOLDERS = ["list_item", "blockquote"];
const OWN_DIRECTION = ["paragraph", "heading", "list_item", "blockquote", "th", "td"];
md.core.ruler.push("direction", ({ tokens }) => {
  let held = 0;
  tokens.forEach((token, at) => {
    const [, name, side] = token.type.match(/^(.*?)_?(open|close)?$/);
    if (name === "th" || name === "td") alignByClass(token);
    if (side === "open" && OWN_DIRECTION.includes(name) && !(held && name === "paragraph")) {
      token.attrSet("dir", "auto");
    }
    if (name === "table" && side === "open") token.attrSet("dir", directionOf(tokens[at + 4].content));
    if (HOLDERS.includes(name)) held += side === "open" ? 1 : -1;
  });
});

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;

/** By the first letter, as `dir="auto"` would; for tables, whose cells have their own. */
const directionOf = (said) => (RIGHT_TO_LEFT.test(said.match(/\p{L}/u)?.[0] ?? "") ? "rtl" : "ltr");

/** Models skip levels of headings: these look as they were meant, and rank in turn below the page's own. */
md.core.ruler.push("outline", ({ tokens }) => {
  const above = [];
  for (const token of tokens) {
    if (!token.type.startsWith("heading")) continue;
    if (token.nesting === 1) {
      while (above.at(-1) >= token.tag) above.pop();
      above.push(token.tag);
      token.attrSet("class", `like-${token.tag}`);
    }
    token.tag = `h${Math.min(6, 1 + above.length)}`;
  }
});

/** Alignment comes as a style, which the page's policy forbids. */
function alignByClass(token) {
  const align = token.attrGet("style")?.match(/text-align:(\w+)/)?.[1];
  token.attrs = token.attrs?.filter(([name]) => name !== "style") ?? null;
  if (align) token.attrSet("class", `align-${align}`);
}

md.renderer.rules.link_open = (tokens, at, options, _, self) => {
  tokens[at].attrSet("target", "_blank");
  tokens[at].attrSet("rel", "noopener noreferrer nofollow");
  return self.renderToken(tokens, at, options);
};

/** A picture is only linked to: whoever reads an answer does not tell another server so. */
md.renderer.rules.image = (tokens, at) => {
  const { content, attrs } = tokens[at];
  const address = md.utils.escapeHtml(Object.fromEntries(attrs).src);
  const name = md.utils.escapeHtml(content || address);
  return `<a href="${address}" target="_blank" rel="noopener noreferrer nofollow">${name}</a>`;
};

md.renderer.rules.table_open = (tokens, at) =>
  `<div class="wide" tabindex="0"><table dir="${tokens[at].attrGet("dir")}">\n`;
md.renderer.rules.table_close = () => "</table></div>\n";
md.renderer.rules.fence = (tokens, at) => code(tokens[at].content, languageOf(tokens[at]));
md.renderer.rules.code_block = (tokens, at) => code(tokens[at].content, "");

const languageOf = ({ info }) => info.trim().split(/\s+/)[0];

function code(content, language) {
  const { escapeHtml } = md.utils;
  return (
    `<div class="code" dir="ltr"><div class="code-bar"><span>${escapeHtml(language)}</span>` +
    `<button type="button" class="quiet copy-code">${escapeHtml(text("copyCode"))}</button></div>` +
    `<pre tabindex="0"><code>${coloured(content, language)}</code></pre></div>`
  );
}

const coloured = (content, language) => highlighted(content, language) ?? md.utils.escapeHtml(content);

/**
 * The top-level blocks of a text.
 *
 * @param {string} source
 * @returns {{source: string, end: number, lines: number[], tokens: object[], env: object}[]}
 *   `end`: where the next begins; `lines`: where each line of the text begins
 */
export function blocksOf(source) {
  const env = {};
  const tokens = md.parse(source, env);
  const lines = lineStarts(source);
  const blocks = [];
  for (let first = 0, at = 0; at < tokens.length; at += 1) {
    if (tokens[at].level !== 0 || tokens[at].nesting === 1) continue;
    blocks.push({ tokens: tokens.slice(first, at + 1), line: tokens[first].map[0], env });
    first = at + 1;
  }
  return blocks.map(({ line, ...block }, index) => {
    const start = index === 0 ? 0 : lines[line];
    const next = blocks[index + 1];
    const end = next ? lines[next.line] : source.length;
    return { ...block, source: source.slice(start, end), end, lines };
  });
}

/** @returns {{content: string, language: string} | null} of a block that is code between fences */
export function codeOf({ tokens: [first] }) {
  return first.type === "fence" ? { content: first.content, language: languageOf(first) } : null;
}

/** The markup of some lines of code, for `innerHTML`. */
export const markupOfCode = (lines, language) => DOMPurify.sanitize(coloured(lines, language), ALLOWED);

/**
 * Where in the text the last `count` items of a list begin. Null where it has few more of them, and where a
 * list of them would not be the same: numbers that do not count on would be others.
 */
export function placeOfItems({ tokens, lines }, count) {
  if (!tokens[0].type.endsWith("list_open")) return null;
  const items = tokens.filter(({ type, level }) => type === "list_item_open" && level === 1);
  const start = Number(items[0].info);
  if (items.length < 2 * count || items.some(({ info }, at) => info && Number(info) !== start + at)) return null;
  return lines[items.at(-count).map[0]];
}

/** As the parser has it. */
const LINE_END = /\r\n?|\n/g;

function lineStarts(source) {
  const starts = [0];
  for (const { 0: end, index } of source.matchAll(LINE_END)) starts.push(index + end.length);
  return starts;
}

/** The markup of one block, for `innerHTML`. */
export function markupOf({ tokens, env }) {
  return DOMPurify.sanitize(md.renderer.render(tokens, md.options, env), ALLOWED);
}
