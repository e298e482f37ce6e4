/** A principal's chats, each with the way to its timeline. */

import { useState } from "preact/hooks";
import { html } from "../common/html.js";
import { addressOf } from "./address.js";
import { Answered, useAnswer } from "./answers.js";
import { Table } from "./table.js";
import { number, Time } from "./words.js";

export function ChatsOf({ principal }) {
  const [archived, setArchived] = useState(false);
  const [cursors, setCursors] = useState([null]);
  const route = `principals/${encodeURIComponent(principal)}/chats`;
  const page = useAnswer(route, { archived, cursor: cursors.at(-1) });

  function turn(toArchived) {
    setArchived(toArchived);
    setCursors([null]);
  }

  return html`
    <section aria-labelledby="chats">
      <div class="heading">
        <h2 id="chats">Chats</h2>
        <label class="check">
          <input type="checkbox" checked=${archived} onChange=${(event) => turn(event.target.checked)} />
          Archived
        </label>
      </div>
      <${Answered} of=${page}>
        ${({ chats, total, next_cursor: next }) => html`
          <${Chats} chats=${chats} />
          <p class="paging">
            ${cursors.length > 1 && html`
              <button type="button" onClick=${() => setCursors(cursors.slice(0, -1))}>Newer</button>
            `}
            ${next && html`
              <button type="button" onClick=${() => setCursors([...cursors, next])}>Older</button>
            `}
            <span class="hint">${number(total)} in all</span>
          </p>
        `}
      <//>
    </section>
  `;
}

function Chats({ chats }) {
  if (!chats.length) return html`<p class="empty">None.</p>`;
  return html`
    <${Table} caption="Chats" head=${["Title", "Messages", "Last change", "Begun"]} figures=${["Messages"]}
      rows=${chats.map((chat) => [
        html`<a href=${addressOf("chats", chat.id)}>${chat.title ?? chat.id}</a>`,
        number(chat.message_count),
        html`<${Time} at=${chat.updated_at} />`,
        html`<${Time} at=${chat.created_at} />`,
      ])} />
  `;
}
