/** Which chat the address names: `#/c/CHAT`, or a message in it: `#/c/CHAT/m/MESSAGE`. */

const PLACE = /^#\/c\/([\w-]+)(?:\/m\/([\w-]+))?$/;
/** Where somebody was who went to sign in. */
const LEFT = "dabir.place";

/** @returns {{chatId: string | null, messageId: string | null}} */
export function place() {
  const [, chatId = null, messageId = null] = location.hash.match(PLACE) ?? [];
  return { chatId, messageId };
}

export const chatAddress = (chatId, messageId) =>
  chatId ? `#/c/${chatId}${messageId ? `/m/${messageId}` : ""}` : "#/";

export function go(chatId) {
  location.hash = chatAddress(chatId);
}

/** The chat that is shown has got its id, or the message was found: no step to go back to. */
export function settle(chatId) {
  history.replaceState(null, "", chatAddress(chatId));
}

/** Calls now, and at each other address. */
export function onPlace(listener) {
  addEventListener("hashchange", () => listener(place()));
  listener(place());
}

export const keepPlace = () => sessionStorage.setItem(LEFT, location.hash);

/** The token with which a sign-in page sent people back. It must not stay in the address. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return null;
  const left = sessionStorage.getItem(LEFT) ?? "";
  sessionStorage.removeItem(LEFT);
  history.replaceState(null, "", location.pathname + location.search + left);
  return token;
}
