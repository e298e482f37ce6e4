/** Puts a text on the clipboard, also on pages without TLS, where browsers lock the newer way. */
export async function copy(said) {
  if (navigator.clipboard) return navigator.clipboard.writeText(said);
  const field = document.createElement("textarea");
  field.value = said;
  field.className = "heard";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
