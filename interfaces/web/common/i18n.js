/** The language of the interface: its texts, its direction, and who hears when it changes. */

import { useEffect, useState } from "preact/hooks";
import en from "./texts/en.js";
import fa from "./texts/fa.js";

const TEXTS = { en, fa };
const KEY = "dabir.language";

/** What each is called by those who speak it. */
export const LANGUAGES = { en: "English", fa: "فارسی" };

let language = document.documentElement.lang in TEXTS ? document.documentElement.lang : "en";
const listeners = new Set();

export const currentLanguage = () => language;

/**
 * @param {string} name as in texts/en.js
 * @param {object} [values] what the text mentions
 */
export function text(name, values = {}) {
  const said = TEXTS[language][name] ?? en[name];
  return typeof said === "function" ? said(values) : said;
}

/** Whether there is a text of that name: the service may have codes that this page does not know. */
export const hasText = (name) => name in en;

export function chooseLanguage(chosen) {
  language = chosen;
  localStorage.setItem(KEY, chosen);
  document.documentElement.lang = chosen;
  document.documentElement.dir = chosen === "fa" ? "rtl" : "ltr";
  for (const listener of listeners) listener(chosen);
}

/** `text`, for a component that is to be rendered again in another language. */
export function useTexts() {
  const [, show] = useState(language);
  useEffect(() => {
    listeners.add(show);
    return () => listeners.delete(show);
  }, []);
  return text;
}
