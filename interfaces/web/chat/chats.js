/** The list of chats: what is loaded of it, kept right by what the service pushes. */

import { client } from "./client.js";
import { visitorChatted } from "./caller.js";
import { change, changePart, now } from "./store.js";

const PAGE = 30;

/** Counts beginnings of the list: an answer to an earlier one comes too late. */
let beginning = 0;

/** From the top, after connecting or when the other list is chosen. */
export async function listChats({ archived = now().chats.archived } = {}) {
  beginning += 1;
  const asked = beginning;
  const { chats } = now();
  const items = archived === chats.archived ? chats.items : [];
  change({ chats: { ...chats, items, archived, loading: true, failure: null } });
  await add(asked, () => client.listChats({ limit: PAGE, archived }), () => []);
}

export async function listMoreChats() {
  const { cursor, archived, more, loading } = now().chats;
  if (!more || loading) return;
  changePart("chats", { loading: true });
  await add(beginning, () => client.listChats({ limit: PAGE, cursor, archived }), () => now().chats.items);
}

async function add(asked, ask, before) {
  try {
    const page = await ask();
    if (asked !== beginning) return;
    if (page.chats.length && now().session?.kind === "anonymous") visitorChatted();
    const items = inOrder([...before(), ...page.chats]);
    changePart("chats", { items, cursor: page.next_cursor, more: page.has_more, loading: false });
  } catch (failure) {
    if (failure.code === undefined) throw failure;
    if (asked === beginning) changePart("chats", { loading: false, failure });
  }
}

/** Newest activity first, each once, as it was heard last. */
function inOrder(chats) {
  const byId = new Map(chats.map((chat) => [chat.id, chat]));
  return [...byId.values()].sort((one, other) => (one.updated_at < other.updated_at ? 1 : -1));
}

function put(chat) {
  const { items, archived, more } = now().chats;
  const others = items.filter(({ id }) => id !== chat.id);
  const last = items.at(-1);
  // What is older than the loaded part comes with its page.
  const belongs = chat.archived === archived && (!more || !last || chat.updated_at >= last.updated_at);
  changePart("chats", { items: belongs ? inOrder([...others, chat]) : others });
}

/** Whoever comes next has others. */
export function forgetList() {
  beginning += 1;
  change({ chats: { ...now().chats, items: [], cursor: null, more: false, loading: true, failure: null } });
}

function remove(chatId) {
  changePart("chats", { items: now().chats.items.filter(({ id }) => id !== chatId) });
}

export function keepChats() {
  client.on("session", () => listChats());
  client.on("chat_created", ({ chat }) => put(chat));
  client.on("chat_updated", ({ chat }) => put(chat));
  client.on("chat_deleted", ({ chat_id }) => remove(chat_id));
}

/**
 * A chat that may be anywhere in either list, which can be long. With a message of its active branch it
 * takes one request: to choose the branch that is active changes nothing, and is answered with the chat.
 */
export async function findChat(chatId, messageId) {
  const loaded = now().chats.items.find(({ id }) => id === chatId);
  if (loaded) return loaded;
  if (messageId) return client.selectBranch(chatId, messageId);
  for (const archived of [false, true]) {
    for await (const chat of client.chats({ limit: 100, archived })) {
      if (chat.id === chatId) return chat;
    }
  }
  return null;
}
