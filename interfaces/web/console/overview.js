/** How the service does at this moment, what it did in the last hour, and what it costs. */

import { html } from "../common/html.js";
import { Activity } from "./activity.js";
import { addressOf } from "./address.js";
import { Answered, useAnswer } from "./answers.js";
import { Cards } from "./cards.js";
import { Spend } from "./spend.js";
import { duration, number, Time } from "./words.js";

export function Overview() {
  const overview = useAnswer("overview", {}, { every: 5000 });
  return html`
    <${Answered} of=${overview}>${(answer) => html`<${Now} overview=${answer} />`}<//>
    <section aria-labelledby="last-hour">
      <h2 id="last-hour">The last hour</h2>
      <${Activity} />
    </section>
    <${Spend} />
  `;
}

function Now({ overview }) {
  const { now, totals, views } = overview;
  const uptime = (Date.parse(overview.at) - Date.parse(overview.started_at)) / 1000;
  const wrong = Object.entries(overview.readiness).filter(([, reason]) => reason !== null);
  const cards = [
    ["Ready", wrong.length ? "No" : "Yes", wrong.length ? "see below" : "all checks pass", wrong.length > 0],
    ["Head", number(overview.head), `${number(overview.unsealed)} not sealed`],
    ["Lag", number(views.lag), `views at ${number(views.position)}`],
    ["Set aside", number(views.set_aside), views.set_aside ? "streams" : "no stream", views.set_aside > 0],
    ["Open streams", number(now.open_streams), `${number(now.open_sockets)} sockets`],
    ["Replies", number(now.open_replies), oldest(now)],
    ["Orphaned", number(now.orphaned_replies), "of dead nodes", now.orphaned_replies > 0],
    ["Faults", number(totals.faults), `of ${number(totals.requests)} requests`, totals.faults > 0],
  ];
  return html`
    <${Cards} cards=${cards} />
    ${wrong.length > 0 && html`
      <ul class="notice bad">${wrong.map(([check, reason]) => html`<li><b>${check}</b>: ${reason}</li>`)}</ul>
    `}
    ${views.set_aside > 0 && html`
      <p class="notice bad">
        Views could not apply some streams. <a href=${addressOf("projections")}>Which, and why</a>
      </p>
    `}
    <p class="hint">
      Dabir ${overview.version} on ${overview.engine === "sqlite" ? "SQLite" : "PostgreSQL"}, node${" "}
      <code>${overview.node}</code>, up for ${duration(uptime)}. Streams, replies, faults and plots are
      this node's. As of <${Time} at=${overview.at} />.
    </p>
  `;
}

function oldest({ open_replies, oldest_reply_seconds }) {
  return open_replies ? `oldest hold ${duration(oldest_reply_seconds)}` : "no hold open";
}
