/** Markdown as it grows: blocks that are closed stay as they are, only the end is read again. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { whenHighlighting } from "../common/highlight.js";
import { currentLanguage } from "../common/i18n.js";
import { html } from "../common/html.js";
import { blocksOf, markupOf } from "../common/markdown.js";
import { onlyWhenChanged } from "../common/only_when_changed.js";

/** A line that is not whole yet can still change the block before its own. */
const STILL_OPEN = 2;

export function Markdown({ source, growing }) {
  const closed = useRef({ source: "", blocks: [] });
  const [coloured, setColoured] = useState(0);
  useEffect(() => whenHighlighting(() => setColoured(1)), []);

  const blocks = growing ? grownBlocks(closed.current, source) : blocksOf(source);
  return html`
    <div class="prose">
      ${blocks.map((block, at) => html`
        <${Block} key=${at} block=${block} source=${block.source} look=${lookOf(block, coloured)} />
      `)}
    </div>
  `;
}

/** Changes `closed`: the text that no later one can change, and its blocks. */
function grownBlocks(closed, source) {
  if (!source.startsWith(closed.source)) Object.assign(closed, { source: "", blocks: [] });
  const start = closed.source.length;
  const open = blocksOf(source.slice(start));
  const done = open.slice(0, -STILL_OPEN);
  if (done.length) {
    closed.blocks.push(...done);
    closed.source = source.slice(0, start + done.at(-1).end);
    open.splice(0, done.length);
  }
  return [...closed.blocks, ...open];
}

/** What beside its source decides how a block looks: a link may be defined far below its use, and a
 * heading has its rank among the others. */
const lookOf = ({ tokens, env }, coloured) =>
  [currentLanguage(), coloured, tokens[0].tag, ...Object.keys(env.references ?? {})].join();

const Block = onlyWhenChanged(({ block, source, look }) => {
  const markup = useMemo(() => markupOf(block), [source, look]);
  return html`<div class="block" dangerouslySetInnerHTML=${{ __html: markup }}></div>`;
}, ["source", "look"]);
