/** The messages of the open chat. Older ones come as they are scrolled to; the end is kept in sight. */

import { useRef } from "preact/hooks";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { InSight } from "./chat_list.js";
import { copyCode } from "./copying.js";
import { Message } from "./message.js";
import { loadOlder, reload } from "./open_chat.js";
import { useScrolling } from "./scrolling.js";
import { useStore } from "./store.js";
import { reasonOf } from "./toasts.js";
import { Welcome } from "./welcome.js";

export function Conversation() {
  const t = useTexts();
  const { chatId, messages, more, loading, failure } = useStore((state) => state.open);
  const expired = useStore((state) => state.expired);
  const editing = useStore((state) => state.editing);
  const scroller = useRef(null);
  const { atEnd, toEnd } = useScrolling(scroller, chatId, messages);
  const lastAnswer = messages.findLast(({ role }) => role === "assistant")?.id;

  return html`
    <div class="conversation" ref=${scroller} onClick=${copyCode}>
      ${more && !loading && html`<${InSight} root=${scroller} onSight=${loadOlder} key=${messages[0]?.id} />`}
      <div class="messages" role="log" aria-live="off" aria-label=${t("conversation")} aria-busy=${loading}>
        ${messages.map((message) => html`
          <${Message} key=${message.key ?? message.id} message=${message} isLast=${message.id === lastAnswer}
            isEdited=${message.id === editing} />
        `)}
      </div>
      ${loading && !messages.length && html`<p class="empty" aria-busy="true">${t("loading")}</p>`}
      ${failure && !expired && html`
        <div class="empty" role="alert">
          <p>${reasonOf(failure)}</p>
          ${failure.code !== "CHAT_NOT_FOUND" && html`
            <button type="button" onClick=${reload}>${t("tryAgain")}</button>
          `}
        </div>
      `}
      ${!chatId && !messages.length && html`<${Welcome} />`}
    </div>
    ${!atEnd && html`
      <div class="to-end">
        <button type="button" class="icon" aria-label=${t("toEnd")} title=${t("toEnd")} onClick=${toEnd}>
          <${Icon} name="down" />
        </button>
      </div>
    `}
  `;
}
