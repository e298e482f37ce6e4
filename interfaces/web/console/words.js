/** Figures, times and amounts as they are written on the page. */

import { html } from "../common/html.js";

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat("en-CA", {
  year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const CLOCK = new Intl.DateTimeFormat("en-CA", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const PLACES = 9;

export const number = (value) => WHOLE.format(value);

/** For axes and legends: 1.2K, 0.35. */
export function shortNumber(value) {
  if (value !== 0 && Math.abs(value) < 0.1) return String(Number(value.toPrecision(2)));
  return SHORT.format(value);
}

export const clock = (seconds) => CLOCK.format(seconds * 1000);

/** A time of the reader's zone; in UTC when pointed at. */
export function Time({ at }) {
  if (!at) return "–";
  return html`<time datetime=${at} title=${at}>${MOMENT.format(new Date(at)).replace(",", "")}</time>`;
}

/** 12 s, 3 min 20 s, 4 h 10 min, 3 d 4 h. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function bytes(count) {
  const power = count < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(count) / 10));
  const figure = count / 1024 ** power;
  return `${figure.toFixed(power && figure < 10 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

/** The exact sum of decimals in strings: numbers of JavaScript would round it. */
export function sumOf(decimals) {
  const nanos = decimals.reduce((sum, text) => sum + nanosOf(text), 0n);
  const digits = String(nanos < 0n ? -nanos : nanos).padStart(PLACES + 1, "0");
  const places = digits.slice(-PLACES).replace(/0+$/, "");
  return `${nanos < 0n ? "-" : ""}${digits.slice(0, -PLACES)}${places && `.${places}`}`;
}

export function nanosOf(decimal) {
  const [whole, places = ""] = decimal.split(".");
  return BigInt(whole + places.padEnd(PLACES, "0"));
}

/** `chat.message-sent` as words: message sent. */
export const topicWords = (topic) => topic.slice(topic.indexOf(".") + 1).replaceAll("-", " ");
