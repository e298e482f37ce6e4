/** Beside the conversation, or over it on a phone: the chats, search, and who is here. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { go } from "./address.js";
import { ChatList } from "./chat_list.js";
import { Corner } from "./corner.js";
import { Found } from "./found.js";
import { change, now, useStore } from "./store.js";

const NARROW = matchMedia("(max-width: 50rem)");

export function Sidebar() {
  const t = useTexts();
  const drawer = useStore((state) => state.drawer);
  const principal = useStore((state) => state.session?.principal);
  const narrow = useNarrow();
  const element = useRef(null);
  const [query, setQuery] = useState("");

  // Before the rest is inert, which takes the focus from where it was.
  useLayoutEffect(() => {
    if (!drawer) return undefined;
    const before = document.activeElement;
    element.current.querySelector(drawer === "search" ? "#search" : "button").focus();
    return () => before?.focus?.();
  }, [drawer]);

  function onKeyDown(event) {
    if (event.key !== "Escape") return;
    if (query) setQuery("");
    else if (drawer) change({ drawer: false });
    else return;
    event.stopPropagation();
  }

  return html`
    <nav class="sidebar" aria-label=${t("chats")} ref=${element} onKeyDown=${onKeyDown}
      inert=${narrow && !drawer} data-open=${Boolean(drawer)}>
      <div class="sidebar-top">
        <a class="name" href="#/">${t("name")}</a>
        <button type="button" class="quiet icon only-narrow" aria-label=${t("closeChats")}
          onClick=${() => change({ drawer: false })}><${Icon} name="cross" /></button>
      </div>
      <button type="button" class="new-chat" onClick=${newChat} title=${t("newChatKeys")}>
        <${Icon} name="plus" />${t("newChat")}
      </button>
      <label class="search">
        <${Icon} name="search" />
        <input type="search" id="search" dir="auto" maxlength="200" autocomplete="off" value=${query}
          aria-label=${t("searchMessages")} placeholder=${t("search")}
          onInput=${(event) => setQuery(event.target.value)} />
      </label>
      ${query.trim() ? html`<${Found} key=${principal} query=${query.trim()} />` : html`<${ChatList} />`}
      <${Corner} />
    </nav>
  `;
}

export function newChat() {
  go(null);
  change({ drawer: false });
  document.getElementById("composer").focus();
}

/** Search is where the chats are: the drawer opens for it on a phone. */
export function toSearch() {
  if (NARROW.matches && !now().drawer) change({ drawer: "search" });
  else document.getElementById("search").focus();
}

function useNarrow() {
  const [narrow, setNarrow] = useState(NARROW.matches);
  useEffect(() => {
    const changed = () => setNarrow(NARROW.matches);
    NARROW.addEventListener("change", changed);
    return () => NARROW.removeEventListener("change", changed);
  }, []);
  return narrow;
}
