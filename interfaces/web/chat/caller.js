/** Who uses this browser: a token of a user, or a visitor's id. It outlives the tab. */

const TOKEN = "dabir.token";
const VISITOR = "dabir.anon_id";
const CHATTED = "dabir.anon_chatted";

export const keptToken = () => localStorage.getItem(TOKEN) ?? undefined;
export const keptVisitor = () => localStorage.getItem(VISITOR) ?? undefined;

export function keepToken(token) {
  if (token) localStorage.setItem(TOKEN, token);
  else localStorage.removeItem(TOKEN);
}

export const keepVisitor = (anonId) => localStorage.setItem(VISITOR, anonId);

/** The visitor has chats that a user could take along. */
export const visitorChatted = () => localStorage.setItem(CHATTED, "yes");
export const hasVisitorChatted = () => localStorage.getItem(CHATTED) !== null;

/** Its chats are somebody's now, or nobody wants them. */
export const forgetChats = () => localStorage.removeItem(CHATTED);

/** Calls when another tab keeps a visitor's id. */
export function onVisitorElsewhere(listener) {
  addEventListener("storage", (event) => {
    if (event.key === VISITOR) listener();
  });
}

/** Calls with the token when another tab signs in, or with undefined when it signs out. */
export function onTokenElsewhere(listener) {
  addEventListener("storage", (event) => {
    if (event.key === TOKEN) listener(event.newValue ?? undefined);
  });
}
