// A plain page that can hold a chat. What people and models write goes in as text, never as markup.
import { io } from "/web/vendor/socket.io.esm.min.js";

const element = (id) => document.getElementById(id);
const anonId = (localStorage.anonId ??= crypto.randomUUID?.() ?? randomId());
const state = { chatId: null, replyId: null, chats: new Map(), position: 0 };

// WebSocket first: with several workers polling is not served.
const socket = io("/chats", {
  auth: { anon_id: anonId },
  transports: ["websocket", "polling"],
  tryAllTransports: true,
});

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID wants https
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function request(name, payload = {}) {
  return new Promise((resolve, reject) => {
    socket.timeout(15000).emit(name, { ...payload, min_position: state.position }, (late, answer) => {
      if (late) reject(new Error("The server did not answer."));
      else if (answer.error) reject(new Error(answer.error.error));
      else resolve(answer);
    });
  });
}

function attempt(action) {
  return async (event) => {
    event?.preventDefault?.();
    element("notice").textContent = "";
    try {
      await action(event);
    } catch (error) {
      element("notice").textContent = error.message;
    }
  };
}

// Chats

function showChats() {
  const newestFirst = [...state.chats.values()].sort((a, b) => b.updated_at.localeCompare(a.updated_at));
  element("chats").replaceChildren(
    ...newestFirst.map((chat) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dir = "auto";
      button.textContent = chat.title ?? "New chat";
      if (chat.id === state.chatId) button.setAttribute("aria-current", "true");
      button.addEventListener("click", attempt(() => openChat(chat.id)));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

async function openChat(chatId) {
  state.chatId = chatId;
  state.replyId = null;
  showChats();
  const { messages } = await request("list_messages", { chat_id: chatId, limit: 200 });
  if (state.chatId !== chatId) return;
  element("messages").replaceChildren(...messages.map(bubble));
  busy(false);
  if (messages.at(-1)?.status === "streaming") await follow(fetch(`/api/v1/messages/send?chat_id=${chatId}`, headed({})));
}

function startChat() {
  state.chatId = state.replyId = null;
  element("messages").replaceChildren();
  busy(false);
  showChats();
  element("content").focus();
}

function bubble(message) {
  const box = document.createElement("div");
  box.className = `message ${message.role}`;
  box.dir = "auto";
  box.dataset.id = message.id;
  box.textContent = message.content;
  if (message.status === "failed" || message.status === "interrupted") note(box, message.status);
  return box;
}

function note(box, words) {
  const small = document.createElement("div");
  small.className = "note";
  small.textContent = words;
  box.append(small);
}

// Replies

function headed(init) {
  return { ...init, headers: { "content-type": "application/json", "x-anon-id": anonId } };
}

function post(path, body) {
  return fetch(`/api/v1/messages/${path}`, headed({ method: "POST", body: JSON.stringify(body) }));
}

function busy(replying) {
  element("send").disabled = element("regenerate").disabled = replying;
  element("stop").hidden = !replying;
}

// Reads a stream of events to its end and shows the answer while it grows.
async function follow(pending) {
  const response = await pending;
  if (response.status === 204) return;
  busy(true);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let box = null;
  const show = (name, data) => {
    if (name === "assistant_error") throw new Error(data.error);
    if (name === "usage_info") return showUsage(data);
    if (data.chat_id) state.chatId ??= data.chat_id;
    if (name === "assistant_typing" || name === "assistant_regenerating") {
      state.replyId = data.reply_id;
      if (data.replaces) document.querySelector(`[data-id="${data.replaces}"]`)?.remove();
    }
    if (data.chat_id && data.chat_id !== state.chatId) return;
    box ??= document.querySelector(`[data-id="${data.message_id}"]`);
    if (!box) element("messages").append((box = bubble({ id: data.message_id, role: "assistant", content: "" })));
    if (name === "assistant_delta") box.append(data.delta);
    if (data.content !== undefined) box.textContent = data.content;
    box.scrollIntoView({ block: "end" });
  };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const lines of events) {
        const field = (name) => lines.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (field("event")) show(field("event"), JSON.parse(field("data")));
      }
    }
  } finally {
    state.replyId = null;
    busy(false);
  }
}

async function send() {
  const content = element("content").value;
  element("content").value = "";
  element("messages").append(bubble({ role: "user", content }));
  await follow(post("send", { content, ...(state.chatId && { chat_id: state.chatId }) }));
}

// What the server tells by itself

function showUsage(usage) {
  element("usage").textContent =
    usage.kind === "anonymous"
      ? `${usage.remaining} of ${usage.limit} messages left`
      : `${usage.available} ${usage.currency} left`;
}

function seen({ position }) {
  state.position = Math.max(state.position, position ?? 0);
}

function keep({ chat, position }) {
  seen({ position });
  if (chat.archived) state.chats.delete(chat.id);
  else state.chats.set(chat.id, chat);
  showChats();
}

socket.on("session", attempt(async (session) => {
  state.position = session.position; // another log may stand behind a server that was set up anew
  const { chats } = await request("list_chats", { limit: 100 });
  state.chats = new Map(chats.map((chat) => [chat.id, chat]));
  showChats();
}));
socket.on("chat_created", keep);
socket.on("chat_updated", keep);
socket.on("chat_deleted", ({ chat_id, position }) => {
  seen({ position });
  state.chats.delete(chat_id);
  if (chat_id === state.chatId) startChat();
  else showChats();
});
socket.on("usage_info", showUsage);
socket.on("connect_error", (error) => (element("notice").textContent = error.message));

element("new").addEventListener("click", startChat);
element("composer").addEventListener("submit", attempt(send));
element("stop").addEventListener("click", attempt(() => post("stop", state.replyId ? { reply_id: state.replyId } : { chat_id: state.chatId })));
element("regenerate").addEventListener("click", attempt(() => follow(post("regenerate", { chat_id: state.chatId }))));
element("content").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    element("composer").requestSubmit();
  }
});
