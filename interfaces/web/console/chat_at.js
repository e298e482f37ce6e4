/** A chat as it was, with what its last event changed marked. */

import { html } from "../common/html.js";
import { number, Time } from "./words.js";

const FACTS = [
  ["title", "Title", (title) => html`<bdi>${title ?? "none"}</bdi>`],
  ["owner", "Owner", (owner) => html`<bdi>${owner}</bdi>`],
  ["model", "Model", (model) => model ?? "the default"],
  ["archived", "Archived", yesOrNo],
  ["deleted", "Deleted", yesOrNo],
  ["cost", "Cost so far", (cost) => cost],
];
const TOLD = ["status", "content", "version", "versions", "cost"];

/** @param {{now: object, before: object | null}} props  as `GET chats/ID/at/POSITION` gives them */
export function ChatAt({ now, before }) {
  const earlier = new Map(before?.messages.map((message) => [message.id, message]));
  return html`
    <dl class="facts">
      ${FACTS.map(([field, name, written]) => html`
        <div class=${before && before[field] !== now[field] ? "changed" : null}>
          <dt>${name}</dt>
          <dd>${written(now[field])}</dd>
        </div>
      `)}
    </dl>
    ${now.erased && html`<p class="notice">What people wrote here was erased.</p>`}
    ${now.earlier > 0 && html`
      <p class="hint">${number(now.earlier)} earlier messages are not shown.</p>
    `}
    ${now.messages.length === 0 && html`<p class="empty">No message yet.</p>`}
    ${now.messages.map((message) => html`
      <${MessageAt} key=${message.id} message=${message}
        changed=${hasChanged(message, earlier.get(message.id))} />
    `)}
  `;
}

function MessageAt({ message, changed }) {
  const who = message.role === "user" ? "User" : "Assistant";
  return html`
    <article class=${`message ${message.role}${changed ? " changed" : ""}`} aria-label=${who}>
      <header>
        <b>${who}</b>
        <span class=${message.status === "complete" ? "tag" : "tag strong"}>${message.status}</span>
        ${message.versions > 1 && html`
          <span class="tag">version ${message.version} of ${message.versions}</span>
        `}
        ${changed && html`<span class="tag new">changed</span>`}
        <span class="hint">
          ${message.model && `${message.model} · `}${message.cost && `cost ${message.cost} · `}
          <${Time} at=${message.at} />
        </span>
      </header>
      ${message.content !== null && html`<p class="content" dir="auto">${message.content}</p>`}
      ${message.content === null && html`
        <p class="empty">${message.status === "streaming" ? "Being written." : "Its words are not here."}</p>
      `}
    </article>
  `;
}

function hasChanged(message, earlier) {
  return !earlier || TOLD.some((field) => message[field] !== earlier[field]);
}

function yesOrNo(value) {
  return value ? "yes" : "no";
}
