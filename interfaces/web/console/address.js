/** What stands after `#` in the address: a section, what is looked at in it, and how. */

import { useEffect, useState } from "preact/hooks";

/** @typedef {{section: string, id: string, query: Record<string, string>}} Address */

/** @returns {Address} */
function addressNow() {
  const [, path, query] = /^#?\/?([^?]*)\??(.*)$/s.exec(location.hash);
  const [section, ...rest] = path.split("/");
  return {
    section: section || "overview",
    id: unescaped(rest.join("/")),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

/** @returns {string} for `href`; what is empty in `query` is left out */
export function addressOf(section, id = "", query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const asked = new URLSearchParams(given).toString();
  return `#/${section}${id && `/${encodeURIComponent(id)}`}${asked && `?${asked}`}`;
}

export function goTo(address) {
  location.hash = address;
}

/** Goes there without a step in the browser's history. */
export function turnTo(address) {
  history.replaceState(null, "", address);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useAddress() {
  const [address, setAddress] = useState(addressNow);
  useEffect(() => {
    const changed = () => setAddress(addressNow());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return address;
}

/** Somebody may have typed a lone `%`. */
function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}
