/** The chat page: what it is made of, and what starts it. */

import { render } from "preact";
import { useEffect } from "preact/hooks";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { keepAccount } from "./account.js";
import { onPlace } from "./address.js";
import { Banner } from "./banner.js";
import { keepChats } from "./chats.js";
import { client } from "./client.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { OpenDialog } from "./dialogs.js";
import { Heading } from "./heading.js";
import { Notices } from "./notices.js";
import { keepOpenChat, openPlace } from "./open_chat.js";
import { listenToKeys } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import { change, useStore } from "./store.js";
import { tellError, Toasts } from "./toasts.js";

function App() {
  const t = useTexts();
  const title = useStore((state) => state.open.chat?.title);
  const drawer = useStore((state) => state.drawer);

  useEffect(() => {
    document.title = title ? `${title} · Dabir` : "Dabir";
  }, [title]);

  return html`
    <a class="skip" href="#composer" onClick=${toComposer}>${t("skipToComposer")}</a>
    <${Sidebar} />
    ${drawer && html`<div class="veil" onClick=${() => change({ drawer: false })}></div>`}
    <main inert=${Boolean(drawer)}>
      <${Heading} />
      <${Banner} />
      <${Conversation} />
      <div class="foot">
        <${Notices} />
        <${Composer} />
      </div>
    </main>
    <${OpenDialog} />
    <${Toasts} />
    <${Announcements} />
  `;
}

function toComposer(event) {
  event.preventDefault(); // the address names chats
  document.getElementById("composer").focus();
}

/** One sentence at an answer's end, rather than each of its words. */
function Announcements() {
  const { said, count } = useStore((state) => state.announcement);
  return html`<div class="heard" aria-live="polite"><p key=${count}>${said}</p></div>`;
}

keepAccount();
keepChats();
keepOpenChat();
listenToKeys();
render(html`<${App} />`, document.getElementById("chat"));
onPlace(openPlace);
client.connect().catch((refused) => {
  // Of a bad token the banner tells.
  if (refused.code !== "UNAUTHORIZED") tellError(refused);
});
