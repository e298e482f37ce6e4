/** The chats by when something happened in them; the next ones are fetched as the end comes in sight. */

import { useEffect, useRef } from "preact/hooks";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { ChatRow } from "./chat_row.js";
import { listChats, listMoreChats } from "./chats.js";
import { useStore } from "./store.js";
import { reasonOf } from "./toasts.js";

const DAY_MS = 86_400_000;

export function ChatList() {
  const t = useTexts();
  const { items, more, archived, loading, failure } = useStore((state) => state.chats);
  const openId = useStore((state) => state.open.chatId);
  const expired = useStore((state) => state.expired);
  const scroller = useRef(null);

  return html`
    <div class="chat-list" ref=${scroller}>
      ${archived && html`<h2 class="list-title">${t("archivedChats")}</h2>`}
      ${byAge(items).map(([age, chats]) => html`
        <section key=${age} aria-labelledby=${`age-${age}`}>
          <h3 id=${`age-${age}`}>${t(age)}</h3>
          <ul class="chats">
            ${chats.map((chat) => html`
              <${ChatRow} key=${chat.id} chat=${chat} current=${chat.id === openId} />
            `)}
          </ul>
        </section>
      `)}
      ${failure && html`
        <p class="empty">${reasonOf(failure)}</p>
        <button type="button" class="quiet" onClick=${() => listChats()}>${t("tryAgain")}</button>
      `}
      ${!items.length && !loading && !failure && html`
        <p class="empty">${t(archived ? "nothingArchived" : "noChats")}</p>
      `}
      ${more && html`<${InSight} root=${scroller} onSight=${listMoreChats} key=${items.length} />`}
      ${loading && !items.length && !expired && html`<p class="empty" aria-busy="true">${t("loading")}</p>`}
    </div>
    <button type="button" class="quiet archived-switch" onClick=${() => listChats({ archived: !archived })}>
      <${Icon} name=${archived ? "chats" : "archive"} />
      ${t(archived ? "showChats" : "showArchived")}
    </button>
  `;
}

/** @returns {[string, object[]][]} names of ages, as in the texts, with the chats of that age */
function byAge(chats) {
  const today = new Date().setHours(0, 0, 0, 0);
  const limits = {
    today,
    yesterday: today - DAY_MS,
    thisWeek: today - 7 * DAY_MS,
    thisMonth: today - 30 * DAY_MS,
  };
  const ages = new Map();
  for (const chat of chats) {
    const at = Date.parse(chat.updated_at);
    const age = Object.keys(limits).find((name) => at >= limits[name]) ?? "older";
    ages.set(age, [...(ages.get(age) ?? []), chat]);
  }
  return [...ages];
}

/** Calls `onSight` when it is scrolled near to what is seen of `root`. */
export function InSight({ root, onSight }) {
  const element = useRef(null);
  useEffect(() => {
    const seen = ([entry]) => entry.isIntersecting && onSight();
    const observer = new IntersectionObserver(seen, { root: root.current, rootMargin: "600px 0px" });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return html`<div class="in-sight" ref=${element}></div>`;
}
