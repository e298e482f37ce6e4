/** Copying a message, or a piece of code in it. */

import { useState } from "preact/hooks";
import { copy } from "../common/copy.js";
import { text, useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { announce } from "./store.js";

const SHOWN_MS = 1600;

export function CopyMessage({ content }) {
  const t = useTexts();
  const [copied, setCopied] = useState(false);

  async function onClick() {
    await copy(content);
    setCopied(true);
    announce(text("copied"));
    setTimeout(() => setCopied(false), SHOWN_MS);
  }

  return html`
    <button type="button" class="quiet icon" aria-label=${t("copyMessage")} title=${t("copyMessage")}
      onClick=${onClick}><${Icon} name=${copied ? "check" : "copy"} /></button>
  `;
}

/** For clicks anywhere in the conversation: the buttons are part of an answer's markup. */
export async function copyCode({ target }) {
  const button = target.closest(".copy-code");
  if (!button) return;
  await copy(button.closest(".code").querySelector("code").textContent);
  button.textContent = text("copied");
  announce(text("copied"));
  setTimeout(() => (button.textContent = text("copyCode")), SHOWN_MS);
}
