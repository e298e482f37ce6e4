/** One chat in the list: a link, and what can be done with it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { Menu } from "../common/menu.js";
import { onlyWhenChanged } from "../common/only_when_changed.js";
import { chatAddress } from "./address.js";
import { client } from "./client.js";
import { change } from "./store.js";
import { telling } from "./toasts.js";

const LONGEST_TITLE = 200;

export const ChatRow = onlyWhenChanged(({ chat, current }) => {
  const t = useTexts();
  const [renaming, setRenaming] = useState(false);
  const title = chat.title ?? t("untitled");
  if (renaming) return html`<li><${Rename} chat=${chat} onDone=${() => setRenaming(false)} /></li>`;

  const items = [
    { label: t("rename"), icon: html`<${Icon} name="pen" />`, choose: () => setRenaming(true) },
    {
      label: t(chat.archived ? "unarchive" : "archive"),
      icon: html`<${Icon} name=${chat.archived ? "unarchive" : "archive"} />`,
      choose: () => telling(client.archiveChat(chat.id, !chat.archived)),
    },
    {
      label: t("delete"),
      icon: html`<${Icon} name="trash" />`,
      danger: true,
      choose: () => change({ dialog: { name: "delete", chat } }),
    },
  ];
  return html`
    <li class="chat-row" data-current=${current}>
      <a href=${chatAddress(chat.id)} aria-current=${current ? "page" : null} dir="auto"
        title=${chat.last_message?.preview}>${title}</a>
      ${chat.active_reply_id && html`<span class="answering" role="img" aria-label=${t("answering")}></span>`}
      <${Menu} label=${t("optionsFor", { title })} items=${items}><${Icon} name="dots" /></${Menu}>
    </li>
  `;
});

function Rename({ chat, onDone }) {
  const t = useTexts();
  const field = useRef(null);
  const done = useRef(false);

  useEffect(() => {
    field.current.focus();
    field.current.select();
  }, []);

  function keep() {
    if (done.current) return; // leaving the field is the second end
    done.current = true;
    const title = field.current.value.trim();
    onDone();
    if (title && title !== chat.title) telling(client.renameChat(chat.id, title));
  }

  function onKeyDown(event) {
    if (event.isComposing) return;
    if (event.key === "Enter") keep();
    if (event.key !== "Escape") return;
    event.stopPropagation();
    done.current = true;
    onDone();
  }

  return html`
    <input type="text" class="rename" dir="auto" ref=${field} aria-label=${t("renameChat")}
      value=${chat.title ?? ""} maxlength=${LONGEST_TITLE} onKeyDown=${onKeyDown} onBlur=${keep} />
  `;
}
