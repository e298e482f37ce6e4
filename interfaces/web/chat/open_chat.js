/** The chat that is open: its messages as far as they are loaded, kept right by pushes. */

import { place, settle } from "./address.js";
import { findChat } from "./chats.js";
import { client } from "./client.js";
import { attach, follow, isPending, running, update } from "./replies.js";
import { change, changePart, now } from "./store.js";

const PAGE = 40;
const LARGEST_PAGE = 200;
/** How many pages are gone back for a message that somebody searched for. */
const LOOK_BACK = 50;

/** Counts openings: what was asked for an earlier one is thrown away when it comes. */
let opening = 0;

/** Opens what the address names, unless it is open. */
export function openPlace({ chatId, messageId }) {
  const { open } = now();
  change({ drawer: false });
  if (messageId) return openAt(chatId, messageId);
  if (chatId !== open.chatId) return begin(chatId);
  return undefined;
}

function begin(chatId) {
  opening += 1;
  const chat = now().chats.items.find(({ id }) => id === chatId) ?? null;
  const open = { chatId, chat, messages: [], cursor: null, more: false, failure: null };
  change({ open: { ...open, loading: Boolean(chatId) }, refusal: null, editing: null });
  return chatId ? load() : undefined;
}

/** Nothing of it is shown any more, whatever comes of what was asked. */
export function leaveChat() {
  settle(null);
  begin(null);
}

/** The newest page, or as much as is shown already. */
async function load() {
  const asked = opening;
  const { chatId, messages } = now().open;
  const limit = Math.min(LARGEST_PAGE, Math.max(PAGE, messages.length));
  await guarded(asked, async () => {
    const page = await client.listMessages(chatId, { limit });
    if (asked !== opening) return;
    const listed = attach(page.messages, now().open.messages);
    changePart("open", { messages: listed, cursor: page.next_cursor, more: page.has_more, loading: false });
    await learnChat(asked, chatId, listed, page.messages.at(-1)?.id);
  });
}

/** A reply may be under way that the list does not show: another version of an answer. */
async function learnChat(asked, chatId, listed, last) {
  const chat = await findChat(chatId, last);
  if (asked !== opening) return;
  if (chat) changePart("open", { chat });
  if (chat?.active_reply_id) follow({ replyId: chat.active_reply_id });
  else if (listed.some(({ status, reply }) => status === "streaming" && !reply)) follow({ chatId });
}

/** What was found is shown where it stands, on its branch. */
async function openAt(chatId, messageId) {
  if (now().open.chatId !== chatId) begin(chatId);
  opening += 1;
  const asked = opening;
  changePart("open", { loading: true });
  await guarded(asked, async () => {
    await client.selectBranch(chatId, messageId);
    let page = await client.listMessages(chatId, { limit: LARGEST_PAGE });
    let messages = page.messages;
    for (let back = 0; back < LOOK_BACK && page.has_more; back += 1) {
      if (messages.some(({ id }) => id === messageId)) break;
      page = await client.listMessages(chatId, { limit: LARGEST_PAGE, cursor: page.next_cursor });
      messages = [...page.messages, ...messages];
    }
    if (asked !== opening) return;
    const shown = attach(messages, []);
    change({
      open: { ...now().open, messages: shown, cursor: page.next_cursor, more: page.has_more, loading: false },
      wanted: { id: messageId },
    });
    if (place().messageId) settle(chatId);
    await learnChat(asked, chatId, shown, messageId);
  });
}

export async function loadOlder() {
  const { chatId, cursor, more, loading } = now().open;
  if (!more || loading) return;
  const asked = opening;
  changePart("open", { loading: true });
  await guarded(asked, async () => {
    const page = await client.listMessages(chatId, { limit: PAGE, cursor });
    if (asked !== opening) return;
    const messages = [...attach(page.messages, []), ...now().open.messages];
    changePart("open", { messages, cursor: page.next_cursor, more: page.has_more, loading: false });
  });
}

async function guarded(asked, work) {
  try {
    await work();
  } catch (failure) {
    if (failure.code === undefined) throw failure;
    if (asked === opening) changePart("open", { loading: false, failure });
  }
}

/** Lists again what is shown: after a reconnection, or when the branch is another one. */
export function reload() {
  if (!now().open.chatId) return undefined;
  opening += 1;
  changePart("open", { failure: null });
  return load();
}

/** Another version of a message, with what followed it. */
export async function selectVersion(messageId) {
  const { chatId } = now().open;
  await client.selectBranch(chatId, messageId);
  if (now().open.chatId === chatId) await reload();
}

function put(message) {
  const { chatId, messages } = now().open;
  if (message.chat_id !== chatId) return;
  const at = messages.findIndex((one) => one.id === message.id || isBeingSent(one, message));
  if (at !== -1) {
    changePart("open", { messages: messages.with(at, update(messages[at], message)) });
  } else if (message.parent_id === (messages.at(-1)?.id ?? null)) {
    changePart("open", { messages: [...messages, update(null, message)] });
  } else {
    reload(); // somebody branched off, or chose another version
  }
}

const isBeingSent = (one, message) =>
  one.status === "sending" && message.role === "user" && one.content === message.content;

function beginReply({ chat_id, reply_id, message_id, kind }) {
  const { chatId, messages } = now().open;
  if (chat_id !== chatId || running.has(message_id)) return;
  if (messages.some(isPending)) return; // this page's own
  const placed = messages.find(({ id }) => id === message_id);
  if (placed && placed.status !== "streaming") return; // it has ended before this was heard
  if (kind === "send" && !placed) {
    const parent_id = messages.at(-1)?.id ?? null;
    const answer = { id: message_id, chat_id, parent_id, role: "assistant", content: "", versions: [] };
    changePart("open", { messages: [...messages, { ...answer, status: "streaming" }] });
  }
  follow({ replyId: reply_id });
}

/** A chat does not tell its branch, but only with another one it ends otherwise without any activity. */
const isOtherBranch = (before, chat) =>
  before?.updated_at === chat.updated_at &&
  (before.message_count !== chat.message_count ||
    before.last_message?.preview !== chat.last_message?.preview);

export function keepOpenChat() {
  client.on("session", () => {
    if (!now().open.loading) reload(); // else the answer is on its way, and as fresh
  });
  client.on("message_created", ({ message }) => put(message));
  client.on("message_completed", ({ message }) => put(message));
  client.on("message_failed", ({ message }) => put(message));
  client.on("reply_started", beginReply);
  client.on("chat_updated", ({ chat }) => {
    const { chatId, chat: before } = now().open;
    if (chat.id !== chatId) return;
    changePart("open", { chat });
    if (isOtherBranch(before, chat) && !now().open.loading) reload();
  });
  client.on("chat_deleted", ({ chat_id }) => {
    if (chat_id === now().open.chatId) location.hash = "#/";
  });
}
