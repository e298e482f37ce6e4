/** What a person wrote, and the way to write it anew. */

import { useEffect, useRef } from "preact/hooks";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { send } from "./answering.js";
import { CopyMessage } from "./copying.js";
import { isBusy } from "./replies.js";
import { change, now } from "./store.js";
import { Versions } from "./versions.js";

export function Question({ message, isEdited }) {
  const t = useTexts();
  if (isEdited) return html`<${Edit} message=${message} />`;
  return html`
    <div class="said" dir="auto">${message.content}</div>
    <div class="deeds">
      <button type="button" class="quiet icon" aria-label=${t("editMessage")} title=${t("editMessage")}
        disabled=${message.status === "sending"} onClick=${() => change({ editing: message.id })}>
        <${Icon} name="pen" />
      </button>
      <${CopyMessage} content=${message.content} />
      <${Versions} message=${message} />
    </div>
  `;
}

function Edit({ message }) {
  const t = useTexts();
  const field = useRef(null);

  useEffect(() => {
    const { current } = field;
    current.focus();
    current.setSelectionRange(current.value.length, current.value.length);
  }, []);

  function submit(event) {
    event?.preventDefault();
    const content = field.current.value.trim();
    if (!content || isBusy(now())) return;
    if (content === message.content) cancel();
    else {
      send(content, message.id);
      document.getElementById("composer").focus();
    }
  }

  function cancel() {
    change({ editing: null });
    document.getElementById("composer").focus();
  }

  function onKeyDown(event) {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      cancel();
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      submit();
    }
  }

  return html`
    <form class="edit" onSubmit=${submit}>
      <textarea dir="auto" ref=${field} aria-label=${t("newText")} defaultValue=${message.content}
        onKeyDown=${onKeyDown}></textarea>
      <div class="edit-deeds">
        <button type="button" onClick=${cancel}>${t("cancel")}</button>
        <button class="primary">${t("saveAndSend")}</button>
      </div>
    </form>
  `;
}
