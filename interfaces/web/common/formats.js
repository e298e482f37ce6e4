/** Figures, money and times, as the interface's language writes them. */

import { currentLanguage } from "./i18n.js";

/** Of an amount, at most. */
const PLACES = 9;

const kept = new Map();

/** Making a formatter takes longer than a thousand uses of it. */
function formatter(kind, options) {
  const key = currentLanguage() + kind.name + JSON.stringify(options);
  if (!kept.has(key)) kept.set(key, new kind(currentLanguage(), options));
  return kept.get(key);
}

export const number = (value) => formatter(Intl.NumberFormat, {}).format(value);

/**
 * @param {string} amount a decimal string; it is formatted as it is, never as a rounded float
 * @param {string} currency
 */
export function money(amount, currency) {
  const style = { style: "currency", currency, currencyDisplay: "narrowSymbol" };
  try {
    const usual = formatter(Intl.NumberFormat, style).resolvedOptions().maximumFractionDigits;
    const maximumFractionDigits = Math.max(usual, telling(amount));
    return formatter(Intl.NumberFormat, { ...style, maximumFractionDigits }).format(amount);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // One of the operator's own, which Intl does not know.
    const maximumFractionDigits = Math.max(2, telling(amount));
    return `${formatter(Intl.NumberFormat, { maximumFractionDigits }).format(amount)} ${currency}`;
  }
}

/** How many places say something: of an amount below 1 the first two that are not zero. */
const telling = (amount) => {
  const [, zeros] = amount.match(/^-?0\.(0*)[1-9]/) ?? [];
  return zeros === undefined ? 0 : Math.min(PLACES, zeros.length + 2);
};

/** A time of day, with the day where that is another one than today. */
export function moment(at) {
  const date = new Date(at);
  const time = { hour: "numeric", minute: "2-digit" };
  const day = date.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "long" };
  return formatter(Intl.DateTimeFormat, { ...day, ...time }).format(date);
}

/** A time in full, for who points at it. */
export const fullMoment = (at) =>
  formatter(Intl.DateTimeFormat, { dateStyle: "full", timeStyle: "short" }).format(new Date(at));
