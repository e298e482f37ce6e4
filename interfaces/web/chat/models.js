/** Which model answers next: chosen here, else the chat's last, else the one chosen last anywhere. */

import { money } from "../common/formats.js";
import { text, useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { client } from "./client.js";
import { change, useStore } from "./store.js";

const LAST = "dabir.model";

/** @returns {string | undefined} its id */
export function chosenModel({ choice, open, models, defaultModel }) {
  const wanted = [
    choice?.chatId === open.chatId ? choice.model : null,
    open.chat?.model,
    localStorage.getItem(LAST),
    defaultModel,
  ];
  return wanted.find((id) => models.some((model) => model.id === id)) ?? undefined;
}

export async function loadModels() {
  const { models, default: defaultModel } = await client.listModels();
  change({ models, defaultModel });
}

const perMillion = ({ input_price_per_million: input, output_price_per_million: output }, currency) =>
  Number(input) === 0 && Number(output) === 0
    ? text("free")
    : text("prices", { input: money(input, currency), output: money(output, currency) });

export function ModelChoice() {
  const t = useTexts();
  const models = useStore((state) => state.models);
  const chosen = useStore(chosenModel);
  const chatId = useStore((state) => state.open.chatId);
  const currency = useStore((state) => state.usage?.currency ?? "USD");
  if (!models.length) return null;

  function choose(event) {
    localStorage.setItem(LAST, event.target.value);
    change({ choice: { chatId, model: event.target.value } });
  }

  const model = models.find(({ id }) => id === chosen) ?? models[0];
  return html`
    <span class="model">
      <select aria-label=${t("model")} value=${chosen} onChange=${choose}>
        ${models.map((one) => html`
          <option value=${one.id}>${one.name} · ${perMillion(one, currency)}</option>
        `)}
      </select>
      <span class="model-name" aria-hidden="true">${model.name}</span>
    </span>
  `;
}
