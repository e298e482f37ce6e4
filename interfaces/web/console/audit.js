/** What was signed of the log, and whether the log is still what was signed. */

import { html } from "../common/html.js";
import { Answered, Failure, useAnswer } from "./answers.js";
import { Cards } from "./cards.js";
import { Progress } from "./progress.js";
import { Table } from "./table.js";
import { useTask } from "./task.js";
import { duration, number, Time } from "./words.js";

export function Audit() {
  const audit = useAnswer("audit", {}, { every: 10_000 });
  return html`
    <${Verified} />
    <${Answered} of=${audit}>${(answer) => html`<${Sealed} audit=${answer} />`}<//>
  `;
}

function Verified() {
  const task = useTask("audit/verifications", () => {});
  return html`
    <section aria-labelledby="verification">
      <div class="heading">
        <h2 id="verification">Verification</h2>
        <button type="button" class="primary" disabled=${task.running} onClick=${task.start}>
          Verify now
        </button>
      </div>
      ${task.refusal && html`<${Failure} error=${task.refusal} />`}
      <${Answered} of=${task.latest}>${(answer) => html`<${Verdict} verification=${answer} />`}<//>
    </section>
  `;
}

function Verdict({ verification }) {
  const { state, checked, total, findings, findings_total: found, error } = verification;
  if (state === "none") return html`<p class="empty">Nothing was verified since this node started.</p>`;
  if (state === "running") return html`<${Progress} name="Verification" done=${checked} total=${total} />`;
  const ended = html`<${Time} at=${verification.ended_at} />`;
  if (state === "ok") {
    return html`
      <p class="notice good" role="status">
        All ${number(checked)} events are as they were sealed. <span class="hint">${ended}</span>
      </p>
    `;
  }
  const verdict = error
    ? `The verification broke off: ${error}`
    : `The log is not what was sealed: ${number(found)} findings.`;
  return html`
    <div class="notice bad" role="alert">
      <p>${verdict} <span class="hint">${ended}</span></p>
      <ul>
        ${findings.map(({ position, what }) => html`
          <li>${position !== null && html`<b>${position}</b> `}${what}</li>
        `)}
        ${found > findings.length && html`<li>and ${number(found - findings.length)} more</li>`}
      </ul>
    </div>
  `;
}

function Sealed({ audit }) {
  const cards = [
    ["Head", number(audit.head), "events in the log"],
    ["Sealed up to", number(audit.sealed), audit.sealed ? "signed" : "nothing is signed yet"],
    ["Unsealed tail", number(audit.unsealed), `sealed every ${duration(audit.interval_seconds)}`],
  ];
  return html`
    <section aria-labelledby="seal">
      <h2 id="seal">Seal</h2>
      <${Cards} cards=${cards} />
      <dl class="facts">
        <div class="wide"><dt>Public key, for auditors</dt><dd><code>${audit.verifier_key}</code></dd></div>
        <div class="wide">
          <dt>Handed out to</dt>
          <dd>${audit.target ?? "nobody: checkpoints count once somebody else keeps them"}</dd>
        </div>
      </dl>
    </section>
    <section aria-labelledby="checkpoints">
      <h2 id="checkpoints">Checkpoints</h2>
      <${Checkpoints} checkpoints=${audit.checkpoints} target=${audit.target} />
    </section>
  `;
}

function Checkpoints({ checkpoints, target }) {
  if (!checkpoints.length) return html`<p class="empty">None yet.</p>`;
  const handedOut = (at) => (at || target ? html`<${Delivered} at=${at} />` : "–");
  return html`
    <${Table} caption="Checkpoints" head=${["Size", "Signed", "Handed out", "Root"]} figures=${["Size"]}
      rows=${checkpoints.map((each) => [
        number(each.size),
        html`<${Time} at=${each.signed_at} />`,
        handedOut(each.delivered_at),
        html`<details><summary><code>${each.root}</code></summary><pre>${each.note}</pre></details>`,
      ])} />
  `;
}

function Delivered({ at }) {
  return at ? html`<${Time} at=${at} />` : html`<span class="tag strong">not taken yet</span>`;
}
