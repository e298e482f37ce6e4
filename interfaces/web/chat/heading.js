/** Above the conversation: its title, and on a phone the way to the others. */

import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { newChat } from "./sidebar.js";
import { change, useStore } from "./store.js";

export function Heading() {
  const t = useTexts();
  const chatId = useStore((state) => state.open.chatId);
  const chat = useStore((state) => state.open.chat);
  const drawer = useStore((state) => state.drawer);
  const isUnknown = Boolean(chatId) && !chat;
  const title = chatId ? (chat?.title ?? t(isUnknown ? "conversation" : "untitled")) : t("newChat");
  return html`
    <header class="heading">
      <button type="button" class="quiet icon only-narrow" aria-label=${t("openChats")}
        aria-expanded=${Boolean(drawer)} onClick=${() => change({ drawer: true })}>
        <${Icon} name="bars" />
      </button>
      <h1 dir="auto"><span class=${isUnknown ? "heard" : null}>${title}</span></h1>
      ${chat?.archived && html`<span class="badge">${t("archived")}</span>`}
      <button type="button" class="quiet icon only-narrow" aria-label=${t("newChat")} onClick=${newChat}>
        <${Icon} name="plus" />
      </button>
    </header>
  `;
}
