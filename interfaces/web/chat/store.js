/** What the page knows. Views read it with `useStore`; the modules that act on it change it. */

import { useEffect, useState } from "preact/hooks";

let state = {
  /** The client's: "connecting", "online", "offline", "refused" or "closed" */
  connection: "connecting",
  /** The server is going down and told so. */
  draining: false,
  session: null,
  /** The token was refused or ran out; nothing goes on before somebody signs in or out. */
  expired: false,
  usage: null,
  models: [],
  defaultModel: null,
  /** A visitor's id whose chats could be brought along. */
  claimable: null,
  chats: { items: [], cursor: null, more: false, archived: false, loading: true, failure: null },
  open: { chatId: null, chat: null, messages: [], cursor: null, more: false, loading: false, failure: null },
  /** A message to be shown to who came for it: `{id}`, another object each time. */
  wanted: null,
  /** Why the last message was not taken: `{code, details}`. */
  refusal: null,
  /** A text that was not sent goes back to the composer: `{chatId, content}`. */
  returned: null,
  editing: null,
  dialog: null,
  /** Whether the chats are over the conversation, on a phone; "search" to begin there. */
  drawer: false,
  toasts: [],
  /** What those who listen are told. */
  announcement: { said: "", count: 0 },
};

const listeners = new Set();

export const now = () => state;

/** @param {object} changes to the top level */
export function change(changes) {
  state = { ...state, ...changes };
  for (const listener of [...listeners]) listener();
}

/** To those who listen; the same words twice are said twice. */
export const announce = (said) => change({ announcement: { said, count: state.announcement.count + 1 } });

/** To one part: `changePart("open", {loading: true})`. */
export const changePart = (part, changes) => change({ [part]: { ...state[part], ...changes } });

/** The part of the state that `select` gives; the component is rendered again when it is another. */
export function useStore(select) {
  const selected = select(state);
  const [, show] = useState(selected);
  useEffect(() => {
    const listener = () => show(() => select(state));
    listener(); // it may have changed since the rendering
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return selected;
}
