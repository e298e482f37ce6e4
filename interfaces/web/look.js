// Before anything is painted: the theme, and the language with its direction, that were chosen last.
// A classic script, so that it runs first. What it sets, common/look.js and common/i18n.js change.
{
  const root = document.documentElement;
  const theme = localStorage.getItem("dabir.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const chosen = localStorage.getItem("dabir.language") ?? navigator.language;
  const persian = chosen.toLowerCase().startsWith("fa");
  root.lang = persian ? "fa" : "en";
  root.dir = persian ? "rtl" : "ltr";
}
