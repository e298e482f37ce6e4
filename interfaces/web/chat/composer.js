/** Where people write. Enter sends; what is written stays, by chat, until it is sent. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon, StopIcon } from "../common/icons.js";
import { send, stop } from "./answering.js";
import { draftOf, keepDraft } from "./drafts.js";
import { ModelChoice } from "./models.js";
import { isBusy } from "./replies.js";
import { change, now, useStore } from "./store.js";

const FITS_ITSELF = CSS.supports("field-sizing", "content");
/** On a phone a new line is wanted more often, and there is no Shift at hand. */
const TOUCH = matchMedia("(hover: none) and (pointer: coarse)");

export function Composer() {
  const t = useTexts();
  const chatId = useStore((state) => state.open.chatId);
  const returned = useStore((state) => state.returned);
  const busy = useStore(isBusy);
  const expired = useStore((state) => state.expired);
  const field = useRef(null);
  const [empty, setEmpty] = useState(true);

  function write(content) {
    field.current.value = content;
    setEmpty(!content.trim());
    fit(field.current);
  }

  useLayoutEffect(() => {
    if (!isBusy(now())) write(draftOf(chatId));
    if (!TOUCH.matches) field.current.focus();
  }, [chatId]);

  useEffect(() => {
    if (returned?.chatId === chatId) write(draftOf(chatId));
  }, [returned]);

  function onInput() {
    keepDraft(chatId, field.current.value);
    setEmpty(!field.current.value.trim());
    fit(field.current);
  }

  function submit(event) {
    event?.preventDefault();
    const content = field.current.value.trim();
    if (!content || busy || expired) return;
    field.current.value = "";
    setEmpty(true);
    fit(field.current);
    keepDraft(chatId, content); // until the service has it
    send(content);
  }

  function onKeyDown(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !TOUCH.matches) {
      event.preventDefault();
      submit();
    } else if (event.key === "ArrowUp" && !field.current.value) {
      const last = now().open.messages.findLast(({ role }) => role === "user");
      if (!last || busy) return;
      event.preventDefault();
      change({ editing: last.id });
    }
  }

  return html`
    <form class="composer" onSubmit=${submit}>
      <textarea id="composer" dir="auto" rows="1" ref=${field} aria-label=${t("message")}
        placeholder=${t("writeMessage")} enterkeyhint=${TOUCH.matches ? "enter" : "send"}
        onInput=${onInput} onKeyDown=${onKeyDown}></textarea>
      <div class="composer-foot">
        <${ModelChoice} />
        ${busy
          ? html`<button type="button" key="stop" class="round" aria-label=${t("stop")} title=${t("stopKeys")}
              onClick=${stop}><${StopIcon} /></button>`
          : html`<button key="send" class="round primary" aria-label=${t("send")} title=${t("sendKeys")}
              disabled=${empty || expired}><${Icon} name="send" /></button>`}
      </div>
    </form>
  `;
}

/** As high as what is written; the style says up to where. */
function fit(field) {
  if (FITS_ITSELF) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}
