/** A question before something is done that costs or takes a while. */

import { Dialog } from "../common/dialog.js";
import { html } from "../common/html.js";

/** @param {{title: string, yes: string, onYes: () => void, onNo: () => void}} props */
export function Confirm({ title, yes, onYes, onNo, children }) {
  return html`
    <${Dialog} title=${title} onClose=${onNo}>
      ${children}
      <p class="actions">
        <button type="button" onClick=${onNo}>Cancel</button>
        <button type="button" class="primary" onClick=${onYes}>${yes}</button>
      </p>
    <//>
  `;
}
