/** Signing in: at the operator's page, which sends people back with a token, or with a token at hand. */

import { useState } from "preact/hooks";
import { text, useTexts } from "../common/i18n.js";
import { Dialog } from "../common/dialog.js";
import { html } from "../common/html.js";
import { signIn } from "./account.js";
import { keepPlace } from "./address.js";
import { settings } from "./client.js";
import { reasonOf } from "./toasts.js";

export function SignIn({ onClose }) {
  const t = useTexts();
  const [refused, setRefused] = useState(null);
  const [busy, setBusy] = useState(false);

  async function submit(event) {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    setBusy(true);
    try {
      await signIn(token);
      onClose();
    } catch (error) {
      if (error.code === undefined) throw error;
      setRefused(error);
      setBusy(false);
    }
  }

  return html`
    <${Dialog} title=${t("signIn")} onClose=${onClose}>
      ${settings.sign_in_url && html`
        <a class="button primary wide-button" href=${signInAddress()} onClick=${keepPlace}>
          ${t("signInThere")}
        </a>
        <p class="or">${t("or")}</p>
      `}
      <form class="token-form" onSubmit=${submit}>
        <label for="token">${t("token")}</label>
        <input type="password" role="textbox" id="token" name="token" dir="ltr" required autocomplete="off"
          spellcheck=${false} aria-describedby="token-hint" aria-invalid=${Boolean(refused)} />
        <p class="soft" id="token-hint">${t("tokenHint")}</p>
        ${refused && html`<p class="bad" role="alert">${whyNot(refused)}</p>`}
        <div class="dialog-deeds">
          <button type="button" onClick=${onClose}>${t("cancel")}</button>
          <button class="primary" disabled=${busy}>${t("signIn")}</button>
        </div>
      </form>
    </${Dialog}>
  `;
}

const whyNot = (refused) =>
  refused.code === "UNAUTHORIZED" ? text("tokenRefused") : `${text("tokenNotTried")} ${reasonOf(refused)}`;

function signInAddress() {
  const address = new URL(settings.sign_in_url, location.href);
  address.searchParams.set("return_to", location.origin + location.pathname);
  return address.href;
}
