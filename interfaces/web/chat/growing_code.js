/** Code that is being written: some lines at a time, so that those that are whole are drawn only once. */

import { useMemo } from "preact/hooks";
import { html } from "../common/html.js";
import { useTexts } from "../common/i18n.js";
import { markupOfCode } from "../common/markdown.js";
import { onlyWhenChanged } from "../common/only_when_changed.js";

/** What spans more lines than these gets its colours when the code is whole. */
const LINES = /(?:[^\n]*\n){1,8}|[^\n]+$/g;

/** @param {{content: string, language: string, coloured: number}} props `coloured`: whether colours are there */
export function GrowingCode({ content, language, coloured }) {
  const t = useTexts();
  return html`
    <div class="block">
      <div class="code" dir="ltr">
        <div class="code-bar">
          <span>${language}</span>
          <button type="button" class="quiet copy-code">${t("copyCode")}</button>
        </div>
        <pre tabindex="0"><code>${(content.match(LINES) ?? []).map((lines, at) => html`
          <${Lines} key=${at} lines=${lines} language=${language} coloured=${coloured} />
        `)}</code></pre>
      </div>
    </div>
  `;
}

const Lines = onlyWhenChanged(({ lines, language, coloured }) => {
  const markup = useMemo(() => markupOfCode(lines, language), [lines, language, coloured]);
  return html`<span class="lines" dangerouslySetInnerHTML=${{ __html: markup }}></span>`;
});
