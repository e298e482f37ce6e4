/** What somebody began to write, by chat; it survives a reload of the tab. */

const PREFIX = "dabir.draft.";
const key = (chatId) => PREFIX + (chatId ?? "new");

export const draftOf = (chatId) => sessionStorage.getItem(key(chatId)) ?? "";

export function keepDraft(chatId, content) {
  if (content) sessionStorage.setItem(key(chatId), content);
  else clearDraft(chatId);
}

export const clearDraft = (chatId) => sessionStorage.removeItem(key(chatId));

export function clearDrafts() {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
  }
}
