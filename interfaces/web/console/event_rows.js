/** Events as rows of a table, each with its JSON below it when asked for. */

import { useState } from "preact/hooks";
import { html } from "../common/html.js";
import { addressOf } from "./address.js";
import { Time } from "./words.js";

export function EventRows({ events }) {
  return html`
    <div class="scroll" tabindex="0" role="group" aria-label="Events">
      <table class="events">
        <thead>
          <tr>
            <th scope="col" class="number">Position</th>
            <th scope="col">Recorded</th>
            <th scope="col">Type</th>
            <th scope="col">Principal</th>
            <th scope="col">What</th>
            <th scope="col">Chat</th>
          </tr>
        </thead>
        <tbody>${events.map((event) => html`<${EventRow} key=${event.position} event=${event} />`)}</tbody>
      </table>
    </div>
  `;
}

function EventRow({ event }) {
  const [open, setOpen] = useState(false);
  const details = `event-${event.position}`;
  return html`
    <tr>
      <td class="number">
        <button type="button" class="quiet" aria-expanded=${String(open)} aria-controls=${details}
          onClick=${() => setOpen(!open)}>
          <span class="heard">Event </span>${event.position}
        </button>
      </td>
      <td><${Time} at=${event.recorded_at} /></td>
      <td><code>${event.topic}</code></td>
      <td dir="auto">${event.principal ?? "–"}</td>
      <td dir="auto">
        ${event.unreadable ? html`<span class="bad">Unreadable: ${event.unreadable}</span>` : event.what}
        ${event.erased && html`<span class="tag">erased</span>`}
      </td>
      <td>
        ${event.chat && html`
          <a href=${addressOf("chats", event.chat, { at: event.position })}
            aria-label=${`Timeline at ${event.position}`}>Timeline</a>
        `}
      </td>
    </tr>
    <tr id=${details} class="details" hidden=${!open}>
      ${open && html`<td colspan="6"><pre tabindex="0">${JSON.stringify(event, null, 2)}</pre></td>`}
    </tr>
  `;
}
