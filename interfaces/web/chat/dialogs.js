/** The dialog that is open, if one is. */

import { useTexts } from "../common/i18n.js";
import { Dialog } from "../common/dialog.js";
import { html } from "../common/html.js";
import { client } from "./client.js";
import { Shortcuts } from "./shortcuts.js";
import { SignIn } from "./sign_in.js";
import { change, useStore } from "./store.js";
import { telling } from "./toasts.js";

const DIALOGS = { delete: DeleteChat, shortcuts: Shortcuts, signIn: SignIn };

export function OpenDialog() {
  const dialog = useStore((state) => state.dialog);
  if (!dialog) return null;
  return html`<${DIALOGS[dialog.name]} ...${dialog} onClose=${() => change({ dialog: null })} />`;
}

function DeleteChat({ chat, onClose }) {
  const t = useTexts();

  function remove() {
    onClose();
    telling(client.deleteChat(chat.id));
  }

  return html`
    <${Dialog} title=${t("deleteChat")} onClose=${onClose}>
      <p>${t("deleteWarning")} <strong dir="auto">${chat.title ?? t("untitled")}</strong></p>
      <div class="dialog-deeds">
        <button type="button" onClick=${onClose}>${t("cancel")}</button>
        <button type="button" class="danger" onClick=${remove}>${t("delete")}</button>
      </div>
    </${Dialog}>
  `;
}
