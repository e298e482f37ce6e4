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
  addEventListener("hashchange", () => {
    if (broughtToken()) location.reload(); // a page takes it as it begins
    else listener(place());
  });
  listener(place());
}

export const keepPlace = () => sessionStorage.setItem(LEFT, location.hash);

const broughtToken = () => new URLSearchParams(location.hash.slice(1)).get("token");

/**
 * The token with which a sign-in page sent people back, if they went there from here: a link that somebody
 * made must not sign them in as somebody else. It must not stay in the address either way.
 */
export function takeToken() {
  const token = broughtToken();
  if (!token) return null;
  const left = sessionStorage.getItem(LEFT);
  sessionStorage.removeItem(LEFT);
  history.replaceState(null, "", location.pathname + location.search + (left ?? ""));
  return left === null ? null : token;
}
