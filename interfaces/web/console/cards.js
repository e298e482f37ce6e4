/** Single figures side by side. */

import { html } from "../common/html.js";

/** @param {{cards: [name: string, figure: any, beside: any, bad?: boolean][], wide?: boolean}} props */
export function Cards({ cards, wide = false }) {
  return html`
    <dl class=${wide ? "cards amounts" : "cards"}>
      ${cards.map(([name, figure, beside, bad = false]) => html`
        <div class=${bad ? "card bad" : "card"}>
          <dt>${name}</dt>
          <dd class="figure">${figure}</dd>
          <dd class="hint">${beside}</dd>
        </div>
      `)}
    </dl>
  `;
}
