/** Keys that work anywhere on the page, and the dialog that tells of all. */

import { useTexts } from "../common/i18n.js";
import { Dialog } from "../common/dialog.js";
import { html } from "../common/html.js";
import { stop } from "./answering.js";
import { isBusy } from "./replies.js";
import { newChat, toSearch } from "./sidebar.js";
import { change, now } from "./store.js";

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const COMMAND = MAC ? "⌘" : "Ctrl";

const KEYS = [
  [["Enter"], "keySend"],
  [["Shift", "Enter"], "keyNewLine"],
  [["Esc"], "keyStop"],
  [["↑"], "keyEdit"],
  [[COMMAND, "K"], "keySearch"],
  [[COMMAND, "Shift", "O"], "keyNewChat"],
  [["?"], "keyShortcuts"],
];

export function listenToKeys() {
  addEventListener("keydown", (event) => {
    if (event.isComposing) return; // Escape is then for what is being composed
    const command = MAC ? event.metaKey : event.ctrlKey;
    if (command && !event.shiftKey && event.code === "KeyK") toSearch();
    else if (command && event.shiftKey && event.code === "KeyO") newChat();
    else if (event.key === "Escape" && isBusy(now()) && !now().dialog) stop();
    else if (event.key === "?" && !isTyping(event.target)) change({ dialog: { name: "shortcuts" } });
    else return;
    event.preventDefault();
  });
}

const isTyping = (element) => element.matches("input, textarea, select");

export function Shortcuts({ onClose }) {
  const t = useTexts();
  return html`
    <${Dialog} title=${t("shortcuts")} onClose=${onClose}>
      <dl class="keys">
        ${KEYS.map(([keys, name]) => html`
          <div>
            <dt>${t(name)}</dt>
            <dd dir="ltr">${keys.map((key) => html`<kbd>${key}</kbd>`)}</dd>
          </div>
        `)}
      </dl>
      <div class="dialog-deeds">
        <button type="button" class="primary" onClick=${onClose}>${t("close")}</button>
      </div>
    </${Dialog}>
  `;
}
