/** What a model thought aloud: there for who wants to read it. */

import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";

export function Reasoning({ content, thinking }) {
  const t = useTexts();
  return html`
    <details class="reasoning">
      <summary>${t(thinking ? "thinking" : "reasoning")}</summary>
      <p dir="auto">${content}</p>
    </details>
  `;
}
