/** Markdown as it grows: what is closed stays as it is, only the end is read and drawn again. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { whenHighlighting } from "../common/highlight.js";
import { currentLanguage } from "../common/i18n.js";
import { html } from "../common/html.js";
import { blocksOf, codeOf, markupOf } from "../common/markdown.js";
import { onlyWhenChanged } from "../common/only_when_changed.js";
import { GrowingCode } from "./growing_code.js";
import { grownBlocks, nothingClosed } from "./grown_blocks.js";

export function Markdown({ source, growing }) {
  const closed = useRef(null);
  closed.current ??= nothingClosed();
  const [coloured, setColoured] = useState(0);
  useEffect(() => whenHighlighting(() => setColoured(1)), []);

  const blocks = growing ? grownBlocks(closed.current, source) : blocksOf(source);
  const code = growing && blocks.length ? codeOf(blocks.at(-1)) : null;
  const whole = code ? blocks.slice(0, -1) : blocks;
  return html`
    <div class="prose">
      ${whole.map((block, at) => html`
        <${Block} key=${at} block=${block} source=${block.source} look=${lookOf(block, coloured)} />
      `)}
      ${code && html`<${GrowingCode} key=${`code ${whole.length}`} ...${code} coloured=${coloured} />`}
    </div>
  `;
}

/** What beside its source decides how a block looks: a link may be defined far below its use, and a
 * heading has its rank among the others. */
const lookOf = ({ tokens, env, goesOn }, coloured) =>
  [currentLanguage(), coloured, tokens[0].tag, goesOn, ...Object.keys(env.references ?? {})].join();

const Block = onlyWhenChanged(({ block, source, look }) => {
  const markup = useMemo(() => markupOf(block), [source, look]);
  const name = block.goesOn ? "block goes-on" : "block";
  return html`<div class=${name} dangerouslySetInnerHTML=${{ __html: markup }}></div>`;
}, ["source", "look"]);
