/** What of the log is wanted. */

import { html } from "../common/html.js";
import { addressOf, goTo } from "./address.js";
import { TOPICS } from "./topics.js";

const TEXTS = [
  ["type", "Type", "chat.message-sent", "types"],
  ["stream", "Stream", "id of a chat or an account"],
  ["principal", "Principal", "user:SUB or anon:ID"],
  ["before", "Before position", "newest"],
];
const TIMES = [["since", "Since"], ["until", "Until"]];

/** @param {{query: Record<string, string>, again: () => void}} props */
export function LogFilters({ query, again }) {
  function submit(event) {
    event.preventDefault();
    const wanted = Object.fromEntries(new FormData(event.target));
    for (const [name] of TEXTS) wanted[name] = wanted[name].trim();
    for (const [name] of TIMES) wanted[name] = wanted[name] && new Date(wanted[name]).toISOString();
    const address = addressOf("log", "", wanted);
    if (address === location.hash) again();
    else goTo(address);
  }

  return html`
    <form class="filters" role="search" aria-label="Events" onSubmit=${submit}>
      ${TEXTS.map(([name, label, hint, list]) => html`
        <label>
          ${label}
          <input name=${name} placeholder=${hint} list=${list} defaultValue=${query[name] ?? ""}
            spellcheck=${false} autocomplete="off" inputmode=${name === "before" ? "numeric" : null} />
        </label>
      `)}
      ${TIMES.map(([name, label]) => html`
        <label>
          ${label}
          <input type="datetime-local" name=${name} step="1" max="9999-12-31T23:59:59" defaultValue=${ofThisZone(query[name])} />
        </label>
      `)}
      <datalist id="types">${TOPICS.map((topic) => html`<option value=${topic} />`)}</datalist>
      <p class="actions">
        <a href=${addressOf("log")}>Clear</a>
        <button class="primary">Show</button>
      </p>
    </form>
  `;
}

/** A time in UTC as an input for local times takes it. */
function ofThisZone(time) {
  const at = new Date(time ?? "");
  if (Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
