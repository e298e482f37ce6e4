/** The views: how far they are, what they could not apply, and building them anew. */

import { useState } from "preact/hooks";
import { html } from "../common/html.js";
import { addressOf } from "./address.js";
import { Answered, Failure, useAnswer } from "./answers.js";
import { Confirm } from "./confirm.js";
import { Progress } from "./progress.js";
import { Table } from "./table.js";
import { useTask } from "./task.js";
import { bytes, number, Time } from "./words.js";

export function Projections() {
  const views = useAnswer("projections", {}, { every: 3000 });
  return html`
    <${Rebuilding} onEnd=${views.again} />
    <${Answered} of=${views}>${(answer) => html`<${State} views=${answer} />`}<//>
  `;
}

function Rebuilding({ onEnd }) {
  const task = useTask("projections/rebuilds", onEnd);
  const [asking, setAsking] = useState(false);

  function start() {
    setAsking(false);
    task.start();
  }

  return html`
    <section aria-labelledby="rebuild">
      <div class="heading">
        <h2 id="rebuild">Build anew</h2>
        <button type="button" class="primary" disabled=${task.running} onClick=${() => setAsking(true)}>
          Rebuild
        </button>
      </div>
      ${task.refusal && html`<${Failure} error=${task.refusal} />`}
      <${Answered} of=${task.latest}>${(answer) => html`<${LastRebuild} rebuild=${answer} />`}<//>
      ${asking && html`
        <${Confirm} title="Rebuild the views?" yes="Start rebuild" onYes=${start}
          onNo=${() => setAsking(false)}>
          <p>
            A new generation is built from the log, beside this one, which goes on answering. It needs
            about as much free space as the views have, twice for a while.
          </p>
        <//>
      `}
    </section>
  `;
}

function LastRebuild({ rebuild }) {
  const { state, generation, position, target, events_per_second: perSecond } = rebuild;
  if (state === "none") return html`<p class="empty">None was begun since this node started.</p>`;
  const name = generation ? `Generation ${generation}` : "The new generation";
  if (state === "running") {
    return html`
      <p class="hint">${name} is being built.</p>
      <${Progress} name="Rebuild" done=${position} total=${target} perSecond=${perSecond} />
    `;
  }
  const ended = html`<span class="hint"><${Time} at=${rebuild.ended_at} /></span>`;
  if (state === "ok") {
    const speed = perSecond ? `, ${number(Math.round(perSecond))} events/s` : "";
    return html`
      <p class="notice good" role="status">${name} is built and in use${speed}. ${ended}</p>
    `;
  }
  if (state === "broken off") {
    return html`
      <p class="notice">${name} was broken off at ${number(position)}. Rebuild goes on with it.</p>
    `;
  }
  return html`<p class="notice bad" role="alert">The rebuild failed: ${rebuild.error} ${ended}</p>`;
}

function State({ views }) {
  return html`
    <section aria-labelledby="generations">
      <h2 id="generations">Generations</h2>
      <p class="hint">
        Version ${views.code_version} of the views' code.${" "}
        ${views.kept_up ? `Kept up, ${number(views.lag)} events behind.` : "Nobody keeps them up now."}
        ${views.runner && html` By node <code>${views.runner}</code>.`}
      </p>
      <${Table} caption="Generations" head=${["Name", "State", "Position", "Target", "Size"]}
        figures=${["Position", "Target", "Size"]}
        rows=${views.generations.map((each) => [
          each.name, each.state, number(each.position), number(each.target), bytes(each.bytes),
        ])} />
    </section>
    <section aria-labelledby="set-aside">
      <h2 id="set-aside">Set aside</h2>
      ${views.set_aside.length === 0 && html`<p class="empty">No stream: all events could be applied.</p>`}
      ${views.set_aside.length > 0 && html`
        <${Table} caption="Streams set aside" head=${["View", "Stream", "Position", "Error"]}
          figures=${["Position"]}
          rows=${views.set_aside.map((each) => [
            each.view,
            html`<a href=${addressOf("log", "", { stream: each.stream })}>${each.stream}</a>`,
            number(each.position),
            each.error,
          ])} />
      `}
    </section>
  `;
}
