/** The event log, newest first. */

import { html } from "../common/html.js";
import { addressOf } from "./address.js";
import { Answered, useAnswer } from "./answers.js";
import { EventRows } from "./event_rows.js";
import { LogFilters } from "./log_filters.js";
import { number } from "./words.js";

/** The address has all that is asked for, so that a search can be sent to a colleague. */
export function Log({ query }) {
  const page = useAnswer("events", query);
  return html`
    <${LogFilters} key=${JSON.stringify(query)} query=${query} again=${page.again} />
    <${Answered} of=${page}>${(answer) => html`<${Page} page=${answer} query=${query} />`}<//>
  `;
}

function Page({ page, query }) {
  const { before, ...fromTop } = query;
  const older = page.next_before !== null && addressOf("log", "", { ...query, before: page.next_before });
  return html`
    ${page.events.length > 0 && html`<${EventRows} events=${page.events} />`}
    ${page.events.length === 0 && html`
      <p class="empty">
        ${older ? `None down to position ${number(page.searched_to)}.` : "No such event."}
      </p>
    `}
    <nav class="paging" aria-label="Pages of the log">
      ${before && html`<a href=${addressOf("log", "", fromTop)}>Newest</a>`}
      ${older && html`<a href=${older}>${page.events.length ? "Older" : "Search further back"}</a>`}
      <span class="hint">Head ${number(page.head)}</span>
    </nav>
  `;
}
