/** What a model answered, or is answering now, what it cost, and what can be done with it. */

import { fullMoment, moment } from "../common/formats.js";
import { hasText, useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { regenerate } from "./answering.js";
import { CopyMessage } from "./copying.js";
import { Markdown } from "./markdown_view.js";
import { Reasoning } from "./reasoning.js";
import { isBusy } from "./replies.js";
import { useStore } from "./store.js";
import { useReply } from "./use_reply.js";
import { Cost } from "./usage.js";
import { Versions } from "./versions.js";

export function Answer({ message }) {
  const t = useTexts();
  const { text: streamed, reasoning: thought, state } = useReply(message.reply);
  const isStreaming = message.status === "streaming";
  const reasoning = isStreaming ? thought : message.reasoning;
  const content = isStreaming ? streamed : message.content;
  const waits = isStreaming && !content && !reasoning;

  return html`
    ${reasoning && html`<${Reasoning} content=${reasoning} thinking=${isStreaming && !content} />`}
    ${content && html`<${Markdown} source=${content} growing=${isStreaming} />`}
    ${waits && html`<p class="waiting"><span class="heard">${t("answering")}</span><i></i><i></i><i></i></p>`}
    ${state === "waiting" && html`<p class="soft note">${t("replyWaits")}</p>`}
    ${message.status === "stopped" && html`<p class="soft note">${t("stopped")}</p>`}
    ${message.finish_reason === "length" && html`<p class="soft note">${t("cutByLength")}</p>`}
    ${message.error && html`<${Failure} message=${message} />`}
    ${!isStreaming && html`<${Foot} message=${message} />`}
  `;
}

function Failure({ message }) {
  const t = useTexts();
  const busy = useStore(isBusy);
  const { error } = message;
  return html`
    <div class="failure">
      <p>${t(hasText(error) ? error : "INTERNAL")}</p>
      <button type="button" disabled=${busy} onClick=${() => regenerate(message.id)}>
        <${Icon} name="redo" />${t("tryAgain")}
      </button>
    </div>
  `;
}

function Foot({ message }) {
  const t = useTexts();
  const busy = useStore(isBusy);
  const { model, usage, completed_at: at } = message;
  return html`
    <div class="deeds">
      <${Versions} message=${message} />
      ${message.content && html`<${CopyMessage} content=${message.content} />`}
      <button type="button" class="quiet icon" aria-label=${t("regenerate")} title=${t("regenerate")}
        disabled=${busy} onClick=${() => regenerate(message.id)}><${Icon} name="redo" /></button>
      <span class="facts">
        ${model && html`<bdi>${model}</bdi>`}
        ${usage && html`<${Cost} usage=${usage} />`}
        ${at && html`<time datetime=${at} title=${fullMoment(at)}>${moment(at)}</time>`}
      </span>
    </div>
  `;
}
