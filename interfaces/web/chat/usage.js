/** What is left: of a visitor's messages, or of a user's balance. */

import { money, moment, number } from "../common/formats.js";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { useStore } from "./store.js";

export function Usage() {
  const usage = useStore((state) => state.usage);
  if (!usage) return html`<div class="usage"></div>`;
  return usage.kind === "anonymous" ? html`<${Allowance} ...${usage} />` : html`<${Balance} ...${usage} />`;
}

function Allowance({ limit, remaining, resets_at: resetsAt }) {
  const t = useTexts();
  return html`
    <div class="usage" title=${resetsAt ? t("resetsAt", { at: moment(resetsAt) }) : null}>
      <span class="numbers">${t("messagesLeft", { remaining, limit })}</span>
      <meter aria-label=${t("allowance")} min="0" max=${limit} value=${remaining} low=${limit / 5}>
        ${number(remaining)}
      </meter>
    </div>
  `;
}

function Balance({ available, reserved, spent, currency }) {
  const t = useTexts();
  const held = Number(reserved) > 0 && t("reserved", { reserved: money(reserved, currency) });
  return html`
    <div class="usage" title=${t("spent", { spent: money(spent, currency) })}>
      <span class="numbers">
        ${t("availableBalance")} <strong><bdi>${money(available, currency)}</bdi></strong>
      </span>
      ${held && html`<span class="numbers soft">${held}</span>`}
    </div>
  `;
}

/** What an answer cost, and what that was made of. */
export function Cost({ usage }) {
  const t = useTexts();
  const isVisitor = useStore((state) => state.session?.kind === "anonymous");
  const { cost, currency, total_tokens: tokens, prompt_tokens: asked, completion_tokens: answered } = usage;
  const price = Number(cost) === 0 ? null : money(cost, currency);
  const details = [t("tokensOf", { asked, answered }), t("priceSource", { source: usage.price_source })];
  if (price && isVisitor) details.push(t("notCharged"));
  if (usage.estimated) details.push(t("estimated"));
  return html`
    <span class="cost numbers" title=${details.join("\n")}>
      ${usage.estimated && html`<span role="img" aria-label=${t("estimated")}>≈ </span>`}
      ${price && html`<bdi>${price}</bdi> · `}<bdi>${t("tokens", { count: tokens })}</bdi>
    </span>
  `;
}
