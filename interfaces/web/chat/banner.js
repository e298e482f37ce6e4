/** The state of the connection, where it is not as it should be, and what is to be decided. */

import { useEffect, useState } from "preact/hooks";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { claim, declineClaim, openSignIn } from "./account.js";
import { useStore } from "./store.js";

/** Connections that take no longer are not spoken of. */
const UNNOTICED_MS = 1200;

export function Banner() {
  const t = useTexts();
  const expired = useStore((state) => state.expired);
  const claimable = useStore((state) => state.claimable);
  return html`
    <${Connection} />
    ${expired && html`
      <div class="banner warn" role="alert">
        <p>${t("expired")}</p>
        <button type="button" onClick=${openSignIn}>${t("signInAgain")}</button>
      </div>
    `}
    ${claimable && html`
      <div class="banner">
        <p>${t("claimable")}</p>
        <button type="button" class="primary" onClick=${claim}>${t("claim")}</button>
        <button type="button" class="quiet" onClick=${declineClaim}>${t("notNow")}</button>
      </div>
    `}
  `;
}

function Connection() {
  const t = useTexts();
  const said = useStore(connectionText);
  const shown = useLasting(said);
  return html`
    <div class="connection" role="status" aria-label=${t("connection")}>
      ${shown && html`<p>${t(shown)}</p>`}
    </div>
  `;
}

function connectionText({ connection, draining, expired }) {
  if (expired) return null;
  if (connection === "offline") return navigator.onLine ? "reconnecting" : "offline";
  if (connection === "connecting") return "connecting";
  return draining ? "draining" : null;
}

/** The value, once it has been so for a moment; null at once. */
function useLasting(value) {
  const [lasting, setLasting] = useState(null);
  useEffect(() => {
    if (!value) return setLasting(null);
    const timer = setTimeout(() => setLasting(value), UNNOTICED_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return value && lasting;
}
