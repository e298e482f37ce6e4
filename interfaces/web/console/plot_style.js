/** How plots look: colours and type from the page's style, so that both themes are legible. */

import uPlot from "uplot";

const DAY = 86400;
const WHOLE = [...Array(10).keys()].flatMap((zeros) => [1, 2, 5].map((digit) => digit * 10 ** zeros));
const DAYS = [1, 2, 7, 14, 28].map((days) => days * DAY);

/** @param {{current: {timed: Function, worded: Function}}} shown  how times and values are written */
export function axesOf(frame, form, shown) {
  const common = {
    stroke: colour(frame, "--ink-soft"),
    font: `11px ${getComputedStyle(frame).fontFamily}`,
    grid: { stroke: colour(frame, "--line"), width: 1 },
    ticks: { show: false },
  };
  return [
    {
      ...common,
      grid: { show: false },
      space: 64,
      size: 24,
      ...(form === "days" && { incrs: DAYS }),
      values: (_, times) => times.map((time) => shown.current.timed(time)),
    },
    {
      ...common,
      space: 32,
      size: 44,
      ...(form === "counts" && { incrs: WHOLE }),
      values: (_, values) => values.map((value) => shown.current.worded(value)),
    },
  ];
}

export function linesOf(frame, lines, form) {
  const coloured = lines.map(({ name }, index) => ({
    label: name,
    stroke: colour(frame, `--line-${index + 1}`),
  }));
  if (form !== "days") {
    // Where little happens, what was measured has gaps around it.
    const show = (u, line) => u.data[line].includes(null);
    return coloured.map((line) => ({
      ...line, width: 1.5, spanGaps: true, points: { show, size: 4, fill: line.stroke },
    }));
  }
  const paths = uPlot.paths.bars({ size: [0.7, 40] });
  return coloured
    .map((line) => ({ ...line, fill: line.stroke, width: 0, paths, points: { show: false } }))
    .reverse();
}

/** A variable's own value may be a choice of two colours, which no canvas takes. */
function colour(frame, variable) {
  frame.style.transition = "none"; // else it is still the colour before
  frame.style.color = `var(${variable})`;
  const resolved = getComputedStyle(frame).color;
  frame.style.color = "";
  return resolved;
}
