/** A chat's timeline: its events, and a slider that goes back to what it was after any of them. */

import { useEffect } from "preact/hooks";
import { html } from "../common/html.js";
import { addressOf, goTo, turnTo } from "./address.js";
import { Answered, Failure, useAnswer } from "./answers.js";
import { ChatAt } from "./chat_at.js";
import { usePast } from "./past.js";
import { Steps } from "./steps.js";
import { Travel } from "./travel.js";

export function Chats({ id, query }) {
  return html`
    <${WhichChat} key=${id} id=${id} />
    ${id && html`<${OneChat} key=${id} id=${id} at=${query.at} />`}
  `;
}

function WhichChat({ id }) {
  function submit(event) {
    event.preventDefault();
    goTo(addressOf("chats", new FormData(event.target).get("chat").trim()));
  }
  return html`
    <form class="filters short" onSubmit=${submit}>
      <label>
        Chat
        <input name="chat" defaultValue=${id} required placeholder="id of a chat" spellcheck=${false}
          autocomplete="off" />
      </label>
      <p class="actions"><button class="primary">Show</button></p>
    </form>
    ${!id && html`
      <p class="empty">
        Paste a chat's id, or come here from an event of${" "}
        <a href=${addressOf("log", "", { type: "chat." })}>the log</a> or a chat of${" "}
        <a href=${addressOf("principals")}>a principal</a>.
      </p>
    `}
  `;
}

function OneChat({ id, at }) {
  const timeline = useAnswer(`chats/${encodeURIComponent(id)}/timeline`);
  return html`
    <${Answered} of=${timeline}>
      ${(answer) => html`<${Travelled} timeline=${answer} at=${at} again=${timeline.again} />`}
    <//>
  `;
}

function Travelled({ timeline, at, again }) {
  const { chat_id: chatId, steps } = timeline;
  const index = indexAt(steps, at);
  const past = usePast(chatId, steps[index].position, steps[index - 1]?.position);
  const turn = (to) => turnTo(addressOf("chats", chatId, { at: steps[to].position }));

  // The address says where one is, also where nobody chose it yet.
  useEffect(() => {
    if (String(steps[index].position) !== at) turn(index);
  }, [index, at]);

  return html`
    <p class="hint">
      Of <bdi>${timeline.owner}</bdi>
      ${timeline.deleted && html`<span class="tag bad">deleted</span>`}
      ${timeline.erased && html`<span class="tag bad">erased</span>`}
      ${timeline.truncated && html`<span class="tag">only the first ${steps.length} events</span>`}
      ${" "}<button type="button" class="quiet" onClick=${again}>Look for newer events</button>
    </p>
    <${Travel} steps=${steps} index=${index} turn=${turn} />
    <div class="past">
      <${Steps} chatId=${chatId} steps=${steps} index=${index} />
      <section aria-label="The chat as it was" aria-busy=${String(past.waiting)}>
        ${past.failure && html`<${Failure} error=${past.failure} />`}
        ${past.now && html`<${ChatAt} now=${past.now} before=${past.before} />`}
      </section>
    </div>
  `;
}

/** The last step at that position or before it; the last of all where none was named. */
function indexAt(steps, at) {
  if (!at) return steps.length - 1;
  return Math.max(0, steps.findLastIndex((step) => step.position <= Number(at)));
}
