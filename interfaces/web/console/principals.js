/** One principal: their account, their chats, and a top-up. */

import { html } from "../common/html.js";
import { addressOf, goTo } from "./address.js";
import { Answered, useAnswer } from "./answers.js";
import { Cards } from "./cards.js";
import { ChatsOf } from "./chats_of.js";
import { TopUp } from "./top_up.js";
import { number, Time } from "./words.js";

export function Principals({ id }) {
  function submit(event) {
    event.preventDefault();
    goTo(addressOf("principals", new FormData(event.target).get("principal").trim()));
  }
  return html`
    <form class="filters short" key=${id} onSubmit=${submit}>
      <label>
        Principal
        <input name="principal" defaultValue=${id} required placeholder="user:SUB or anon:ID"
          spellcheck=${false} autocomplete="off" dir="auto" />
      </label>
      <p class="actions"><button class="primary">Look up</button></p>
    </form>
    ${id ? html`<${One} key=${`of ${id}`} principal=${id} />` : html`
      <p class="empty">
        Users are <code>user:SUB</code>, by the subject of their tokens; visitors are <code>anon:ID</code>.
      </p>
    `}
  `;
}

function One({ principal }) {
  const account = useAnswer(`usage/${encodeURIComponent(principal)}`, {}, { every: 5000 });
  return html`
    <${Answered} of=${account}>
      ${(answer) => html`
        <section aria-labelledby="account">
          <div class="heading">
            <h2 id="account"><bdi>${principal}</bdi></h2>
            <a href=${addressOf("log", "", { principal })}>Events</a>
          </div>
          <${Account} account=${answer} />
        </section>
        ${answer.kind === "user" && html`<${TopUp} account=${answer} onDone=${account.again} />`}
        <${ChatsOf} principal=${principal} />
      `}
    <//>
  `;
}

function Account({ account }) {
  const facts = account.kind === "user" ? userFacts(account) : visitorFacts(account);
  return html`<${Cards} cards=${facts} wide />`;
}

function userFacts({ balance, available, reserved, spent, currency, messages }) {
  return [
    ["Balance", balance, currency],
    ["Available", available, currency],
    ["Reserved", reserved, currency],
    ["Spent", spent, currency],
    ["Messages", number(messages), "sent"],
  ];
}

function visitorFacts({ limit, used, remaining, resets_at: resetsAt }) {
  return [
    ["Limit", number(limit), "messages"],
    ["Used", number(used), "messages"],
    ["Remaining", number(remaining), resetsAt ? html`reset <${Time} at=${resetsAt} />` : "messages"],
  ];
}
