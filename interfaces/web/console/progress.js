/** Work under way on the server: how far it is, how fast, and for how long yet. */

import { html } from "../common/html.js";
import { duration, number } from "./words.js";

/** @param {{name: string, done: number, total: number | null, perSecond?: number | null}} props */
export function Progress({ name, done, total, perSecond = null }) {
  const left = total !== null && perSecond ? (total - done) / perSecond : null;
  const words = [
    total === null ? "Starting…" : `${number(done)} of ${number(total)} events`,
    perSecond !== null && `${number(Math.round(perSecond))} events/s`,
    left !== null && left >= 1 && `${duration(left)} left`,
  ];
  return html`
    <p class="progress">
      <progress aria-label=${name} max=${total ?? 1} value=${total === null ? undefined : done}></progress>
      <span>${words.filter(Boolean).join(" · ")}</span>
    </p>
  `;
}
