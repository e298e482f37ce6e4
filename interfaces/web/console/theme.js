/** Which colours are shown now: what is drawn on a canvas does not change with them by itself. */

import { useEffect, useState } from "preact/hooks";

const DARK = matchMedia("(prefers-color-scheme: dark)");

const colours = () => getComputedStyle(document.documentElement).backgroundColor;

/** @returns {string} another one when the theme changes, by the system or by a switch */
export function useTheme() {
  const [theme, setTheme] = useState(colours);
  useEffect(() => {
    const changed = () => setTheme(colours());
    const attributes = new MutationObserver(changed);
    attributes.observe(document.documentElement, { attributes: true });
    DARK.addEventListener("change", changed);
    return () => {
      attributes.disconnect();
      DARK.removeEventListener("change", changed);
    };
  }, []);
  return theme;
}
