/** A plot over time: uPlot on a canvas, with a legend in text that follows the cursor. */

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { html } from "../common/html.js";
import { axesOf, linesOf } from "./plot_style.js";
import { useTheme } from "./theme.js";

const HEIGHT = 150;

/**
 * @param {object} props
 * @param {string} props.title
 * @param {number[]} props.seconds  Unix times, ascending
 * @param {{name: string, values: (number | null)[]}[]} props.lines  a value for each time
 * @param {(value: number) => string} props.worded
 * @param {(seconds: number) => string} props.timed
 * @param {[number, number]} props.span  first and last time shown
 * @param {"lines" | "counts" | "days"} [props.form]  counts have no fractions; days: bars on each other
 * @param {string} [props.together]  plots of this name share their cursor
 */
export function Plot({ title, seconds, lines, worded, timed, span, form = "lines", together }) {
  const frame = useRef(null);
  const plot = useRef(null);
  const shown = useRef(null);
  const [pointed, setPointed] = useState(null);
  const names = lines.map((line) => line.name).join("\n");
  const theme = useTheme();
  shown.current = { span, timed, worded };

  useEffect(() => {
    const drawn = new uPlot(
      {
        width: frame.current.clientWidth,
        height: HEIGHT,
        padding: [8, 20, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: together ?? null } },
        tzDate: (at) => zoned(new Date(at * 1000), form),
        scales: { x: { range: () => shown.current.span }, y: { range: fromZero } },
        axes: axesOf(frame.current, form, shown),
        series: [{}, ...linesOf(frame.current, lines, form)],
        hooks: { setCursor: [(u) => setPointed(u.cursor.idx ?? null)] },
      },
      dataOf(seconds, lines, form),
      frame.current,
    );
    plot.current = drawn;
    const resized = new ResizeObserver(([{ contentRect }]) => {
      // A fraction of a pixel would blur the lines.
      const width = Math.floor(contentRect.width);
      if (width) drawn.setSize({ width, height: HEIGHT });
    });
    resized.observe(frame.current);
    return () => {
      resized.disconnect();
      drawn.destroy();
    };
  }, [names, theme, form]);

  useEffect(() => {
    plot.current.setData(dataOf(seconds, lines, form));
  }, [seconds, lines, names, theme]);

  /** Arrow keys do what the mouse does. */
  function step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !seconds.length) return;
    event.preventDefault();
    const at = Math.min(seconds.length - 1, Math.max(0, (pointed ?? seconds.length) + by));
    plot.current.setCursor({ left: plot.current.valToPos(seconds[at], "x"), top: 0 });
  }

  const told = (value) => (value == null ? "–" : worded(value));
  const at = pointed !== null && pointed < seconds.length ? pointed : seconds.length - 1;
  return html`
    <figure class="plot">
      <figcaption>
        <h3>${title}</h3>
        ${at >= 0 && html`<span class="hint">${timed(seconds[at])}</span>`}
      </figcaption>
      <div ref=${frame} class="drawing" tabindex="0" role="img" onKeyDown=${step}
        aria-label=${`${title}, from ${timed(span[0])} to ${timed(span[1])}`}></div>
      <ul class="legend">
        ${lines.map((line, index) => html`
          <li class=${`line-${index + 1}`}>
            ${line.name} <b>${told(pointed === null ? lastOf(line.values) : line.values[at])}</b>
          </li>
        `)}
      </ul>
    </figure>
  `;
}

/** Days begin in UTC, and so must the ticks between them. */
function zoned(date, form) {
  return form === "days" ? uPlot.tzDate(date, "Etc/UTC") : date;
}

const lastOf = (values) => values.findLast((value) => value !== null);

function fromZero(_, __, highest) {
  return [0, highest > 0 ? highest * 1.08 : 1];
}

/** Bars on each other are drawn as whole heights, the highest first: see `linesOf`. */
function dataOf(seconds, lines, form) {
  if (form !== "days") return [seconds, ...lines.map((line) => line.values)];
  const heights = [];
  for (const { values } of lines) {
    const below = heights[0] ?? values.map(() => 0);
    heights.unshift(values.map((value, index) => below[index] + value));
  }
  return [seconds, ...heights];
}
