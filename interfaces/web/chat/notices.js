/** Why the service did not take a message, and the way on. */

import { money, moment } from "../common/formats.js";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { openSignIn } from "./account.js";
import { settings } from "./client.js";
import { useStore } from "./store.js";

export function Notices() {
  const refusal = useStore((state) => state.refusal);
  const usage = useStore((state) => state.usage);
  const spent = usage?.kind === "anonymous" && usage.remaining === 0;
  if (refusal?.code === "INSUFFICIENT_BALANCE") return html`<${NoBalance} ...${refusal.details} />`;
  if (refusal) return html`<${NoAllowance} ...${refusal.details} />`;
  if (spent) return html`<${NoAllowance} limit=${usage.limit} resets_at=${usage.resets_at} />`;
  return null;
}

function NoAllowance({ limit, resets_at: resetsAt, scope }) {
  const t = useTexts();
  return html`
    <section class="notice" aria-label=${t("limitReached")} role="alert">
      <div>
        <h2>${t("limitReached")}</h2>
        <p>
          ${t(scope === "address" ? "limitOfAddress" : "limitOf", { limit })} ${" "}
          ${resetsAt && t("resetsAt", { at: moment(resetsAt) })}
        </p>
      </div>
      <button type="button" class="primary" onClick=${openSignIn}>
        ${t("signIn")}
      </button>
    </section>
  `;
}

function NoBalance({ required, available, currency }) {
  const t = useTexts();
  const amounts = { required: money(required, currency), available: money(available, currency) };
  return html`
    <section class="notice" aria-label=${t("noBalance")} role="alert">
      <div>
        <h2>${t("noBalance")}</h2>
        <p>${t("balanceOf", amounts)}</p>
        ${!settings.top_up_url && html`<p>${t("askForTopUp")}</p>`}
      </div>
      ${settings.top_up_url && html`
        <a class="button primary" href=${settings.top_up_url} target="_blank" rel="noopener">${t("topUp")}</a>
      `}
    </section>
  `;
}
