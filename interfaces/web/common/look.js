/** Light or dark: as the system has it, unless somebody chose. `look.js` beside the pages sets it first. */

const KEY = "dabir.theme";

/** Names of the texts for them, too. */
export const THEMES = ["system", "light", "dark"];

export const currentTheme = () => document.documentElement.dataset.theme ?? "system";

export function chooseTheme(theme) {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(KEY);
  } else {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(KEY, theme);
  }
}
