/** What models cost, by day. */

import { useMemo, useState } from "preact/hooks";
import { copy } from "../common/copy.js";
import { html } from "../common/html.js";
import { Answered, useAnswer } from "./answers.js";
import { Plot } from "./plot.js";
import { daysOf, inCsv, linesByModel, sumsByModel } from "./spend_sums.js";
import { Table } from "./table.js";
import { number } from "./words.js";

const SPANS = [7, 30, 90];
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const AMOUNT = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const shortAmount = (value) => AMOUNT.format(value);
const spokenDay = (seconds) => DAY.format(seconds * 1000);

export function Spend() {
  const [days, setDays] = useState(30);
  const spend = useAnswer("spend", { days }, { every: 60_000 });
  return html`
    <section aria-labelledby="spend">
      <div class="heading">
        <h2 id="spend">Spend by model and day</h2>
        <div class="choice" role="group" aria-label="Days">
          ${SPANS.map((span) => html`
            <button type="button" aria-pressed=${String(span === days)} onClick=${() => setDays(span)}>
              ${span} days
            </button>
          `)}
        </div>
      </div>
      <${Answered} of=${spend}>${(answer) => html`<${Spent} spend=${answer} />`}<//>
    </section>
  `;
}

function Spent({ spend }) {
  const plot = useMemo(() => {
    const days = daysOf(spend);
    return { seconds: days.map((day) => Date.parse(day) / 1000), lines: linesByModel(spend, days) };
  }, [spend]);
  if (!spend.rows.length) return html`<p class="empty">No reply was paid for in these days.</p>`;
  const figures = ["Replies", "Tokens in", "Tokens out", `Cost, ${spend.currency}`, "Absorbed"];
  const half = 43_200;
  return html`
    <${Plot} title=${`Cost in ${spend.currency}`} seconds=${plot.seconds} lines=${plot.lines} form="days"
      worded=${shortAmount} timed=${spokenDay}
      span=${[plot.seconds[0] - half, plot.seconds.at(-1) + half]} />
    <${Table} caption="By model" head=${["Model", ...figures]} figures=${figures}
      rows=${sumsByModel(spend.rows).map((row) => [row.model, ...counts(row), ...costs(row)])}
      foot=${[spend.total, spend.absorbed]} />
    <details>
      <summary>By day</summary>
      <${Copy} spend=${spend} />
      <${Table} caption="By day and model" head=${["Day (UTC)", "Model", ...figures]} figures=${figures}
        rows=${spend.rows.toReversed().map((row) => [row.day, row.model, ...counts(row), ...costs(row)])} />
    </details>
  `;
}

const counts = (row) => [number(row.replies), number(row.prompt_tokens), number(row.completion_tokens)];
const costs = (row) => [row.cost, row.absorbed];

function Copy({ spend }) {
  const [copied, setCopied] = useState(false);
  async function copyRows() {
    await copy(inCsv(spend));
    setCopied(true);
  }
  return html`
    <p>
      <button type="button" onClick=${copyRows}>Copy as CSV</button>
      <span role="status" class="hint"> ${copied && "Copied."}</span>
    </p>
  `;
}
