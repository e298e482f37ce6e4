/** What the node did in the last hour, as plots. */

import { useMemo } from "preact/hooks";
import { html } from "../common/html.js";
import { useAnswer, Answered } from "./answers.js";
import { Plot } from "./plot.js";
import { clock, shortNumber } from "./words.js";

const EVERY = 5000;
const HOUR = 3600;
const A_WHILE = 600;
const MOST_LINES = 6;

export function Activity() {
  const activity = useAnswer("activity", { minutes: 60 }, { every: EVERY });
  return html`<${Answered} of=${activity}>${(answer) => html`<${Plots} activity=${answer} />`}<//>`;
}

function Plots({ activity }) {
  const { seconds, plots } = useMemo(() => plotsOf(activity), [activity]);
  const now = seconds.at(-1) ?? Date.now() / 1000;
  // A node that just started has more to show than a line at the edge.
  const since = Math.max(now - HOUR, Math.min(seconds[0] ?? now, now - A_WHILE));
  return html`
    <div class="plots">
      ${plots.map((plot) => html`
        <${Plot} key=${plot.title} worded=${shortNumber} ...${plot} seconds=${seconds} timed=${clock}
          span=${[since, now]} together="activity" />
      `)}
    </div>
  `;
}

function plotsOf(activity) {
  const inMinute = (counts) => overMinute(counts, activity.step_seconds);
  const perSecond = (counts) => inMinute(counts).map((count) => count / 60);
  return {
    seconds: activity.times.map((time) => Date.parse(time) / 1000),
    plots: [
      {
        title: "Turns a minute",
        form: "counts",
        lines: [
          { name: "begun", values: inMinute(activity.replies_started) },
          { name: "ended", values: inMinute(activity.replies_ended) },
        ],
      },
      { title: "Tokens a second", lines: [{ name: "answered", values: perSecond(activity.pieces) }] },
      {
        title: "Open",
        form: "counts",
        lines: [
          { name: "streams", values: activity.open_streams },
          { name: "sockets", values: activity.open_sockets },
          { name: "replies", values: activity.open_replies },
        ],
      },
      {
        title: "Projection lag",
        form: "counts",
        lines: [{ name: "events behind", values: activity.lag }],
      },
      { title: "Errors a minute", form: "counts", lines: errorLines(activity, inMinute) },
      {
        title: "Time to first token",
        worded: spokenSeconds,
        lines: [
          { name: "median", values: activity.first_token_p50 },
          { name: "95 %", values: activity.first_token_p95 },
        ],
      },
      { title: "Events a second", lines: [{ name: "appended", values: perSecond(activity.events) }] },
      {
        title: "Time of an append",
        worded: spokenSeconds,
        lines: [
          { name: "median", values: activity.append_p50 },
          { name: "95 %", values: activity.append_p95 },
        ],
      },
    ],
  };
}

/** For each step what was counted in the minute that it ends: single steps jump too much to be read. */
function overMinute(counts, stepSeconds) {
  const steps = Math.round(60 / stepSeconds);
  let inLast = 0;
  return counts.map((count, index) => {
    inLast += count - (counts[index - steps] ?? 0);
    return inLast;
  });
}

/** The codes that were met most; the rest of them as one. */
function errorLines({ refusals, faults, failures }, inMinute) {
  const met = [
    ...Object.entries(refusals),
    ...Object.entries(failures).map(([code, counts]) => [`reply: ${code}`, counts]),
    ...Object.entries(faults).map(([where, counts]) => [`fault in ${where}`, counts]),
  ].map(([name, counts]) => ({ name, values: inMinute(counts), total: sum(counts) }));
  met.sort((one, other) => other.total - one.total);
  if (met.length <= MOST_LINES) return met;
  const rest = met.splice(MOST_LINES - 1).map((line) => line.values);
  const values = rest[0].map((_, step) => sum(rest.map((line) => line[step])));
  return [...met, { name: "others", values }];
}

const sum = (counts) => counts.reduce((total, count) => total + count, 0);

function spokenSeconds(value) {
  if (value === 0) return "0";
  return value < 1 ? `${shortNumber(value * 1000)} ms` : `${shortNumber(value)} s`;
}
