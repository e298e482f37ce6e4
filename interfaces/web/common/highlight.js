/** Colours for code. The library is fetched when the first code is seen, and code is plain until then. */

/** Longer code stays plain: it would hold up the page. */
const LONGEST = 20_000;

let library = null;
let arriving = null;
const listeners = new Set();

/** @returns {string | null} markup of `code`, or null while it cannot be given any */
export function highlighted(code, language) {
  if (!language || code.length > LONGEST) return null;
  if (!library) {
    arriving ??= import("highlight.js").then(arrived);
    return null;
  }
  if (!library.getLanguage(language)) return null;
  return library.highlight(code, { language, ignoreIllegals: true }).value;
}

function arrived(module) {
  library = module.default;
  for (const listener of listeners) listener();
}

/** Calls once the library is there, where it is not yet. Returns what takes that back. */
export function whenHighlighting(listener) {
  if (!library) listeners.add(listener);
  return () => listeners.delete(listener);
}
