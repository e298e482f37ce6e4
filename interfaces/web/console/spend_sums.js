/** Rows of spend as a plot, a table and a spreadsheet want them. */

import { sumOf } from "./words.js";

const MOST_MODELS = 6;
const COLUMNS = [
  "day", "model", "replies", "prompt_tokens", "completion_tokens", "cost", "charged", "absorbed",
];

/** Every day from `since` to `until`: rows leave out those without a reply. */
export function daysOf({ since, until }) {
  const days = [];
  for (let at = Date.parse(since); at <= Date.parse(until); at += 86_400_000) {
    days.push(new Date(at).toISOString().slice(0, 10));
  }
  return days;
}

/** The dearest first. */
export function sumsByModel(rows) {
  const sums = Object.entries(Object.groupBy(rows, (row) => row.model)).map(([model, own]) => ({
    model,
    replies: counted(own, "replies"),
    prompt_tokens: counted(own, "prompt_tokens"),
    completion_tokens: counted(own, "completion_tokens"),
    cost: sumOf(own.map((row) => row.cost)),
    absorbed: sumOf(own.map((row) => row.absorbed)),
  }));
  return sums.sort((one, other) => Number(other.cost) - Number(one.cost));
}

/** A line for each of the dearest models, and one for all others. */
export function linesByModel({ rows }, days) {
  const models = sumsByModel(rows).map((sum) => sum.model);
  const named = models.slice(0, models.length > MOST_MODELS ? MOST_MODELS - 1 : MOST_MODELS);
  const lines = new Map(named.map((name) => [name, days.map(() => 0)]));
  if (models.length > named.length) lines.set("others", days.map(() => 0));
  for (const row of rows) {
    const values = lines.get(named.includes(row.model) ? row.model : "others");
    values[days.indexOf(row.day)] += Number(row.cost);
  }
  return [...lines].map(([name, values]) => ({ name, values }));
}

export function inCsv({ rows, currency }) {
  const lines = rows.map((row) => COLUMNS.map((column) => cell(row[column])).join(","));
  return [[...COLUMNS, "currency"].join(","), ...lines.map((line) => `${line},${currency}`), ""].join("\r\n");
}

/** Spreadsheets take text that begins like this for a formula. */
function cell(value) {
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const counted = (rows, field) => rows.reduce((sum, row) => sum + row[field], 0);
