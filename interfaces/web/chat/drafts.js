/** What somebody began to write, by chat; it survives a reload of the tab. */

const key = (chatId) => `dabir.draft.${chatId ?? "new"}`;

export const draftOf = (chatId) => sessionStorage.getItem(key(chatId)) ?? "";

export function keepDraft(chatId, content) {
  if (content) sessionStorage.setItem(key(chatId), content);
  else clearDraft(chatId);
}

export const clearDraft = (chatId) => sessionStorage.removeItem(key(chatId));
