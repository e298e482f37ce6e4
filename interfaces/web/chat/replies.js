/** Answers under way that this page reads, and the messages that they become. */

import { text } from "../common/i18n.js";
import { client } from "./client.js";
import { announce, changePart, now } from "./store.js";
import { reasonOf, tellError } from "./toasts.js";

/** Replies that are read, by the id of the message they make. */
export const running = new Map();

const QUIET = ["DETACHED", "CLOSED"];

/** Whether the open chat waits for an answer's end. */
export const isBusy = ({ open }) => open.messages.some(({ status }) => status === "streaming");

/** Not begun yet, as far as this page knows: its id is one of this page's own. */
export const isPending = ({ id }) => id.startsWith("new-");

/** Keeps `reply` and its end in the message it makes. `started` as the client gives it. */
export function watch(reply, { messageId }) {
  running.set(messageId, reply);
  reply.done.then(
    ({ message }) => {
      running.delete(messageId);
      replaceById(messageId, { ...message, reply: undefined, reasoning: reply.reasoning });
      announce(text(message.status === "stopped" ? "answerStopped" : "answerComplete"));
    },
    (error) => {
      running.delete(messageId);
      if (QUIET.includes(error.code)) return;
      const status = error.code === "INTERRUPTED" ? "interrupted" : "failed";
      const kept = { content: reply.text, reasoning: reply.reasoning };
      replaceById(messageId, { ...kept, status, error: error.code, reply: undefined });
      announce(reasonOf(error));
    },
  );
}

/** Reads a reply that was begun elsewhere, or before a reload. */
export async function follow(which) {
  const reply = client.follow(which);
  const started = await reply.started.catch((error) => tellUnlessQuiet(error));
  if (!started || running.has(started.messageId)) return reply.detach();
  watch(reply, started);
  const { messages } = now().open;
  const placed = messages.find(({ id }) => id === started.messageId);
  const replaced = messages.findIndex(({ id }) => id === started.replaces);
  if (placed) replace(placed.key ?? placed.id, { reply });
  else if (replaced !== -1 && reply.state === "streaming") {
    const answer = instead(messages[replaced], { id: started.messageId, reply });
    changePart("open", { messages: [...messages.slice(0, replaced), answer] });
  }
  return undefined;
}

/** A new version in the place of an old one. */
export const instead = (old, answer) => ({
  ...old,
  content: "",
  usage: null,
  error: null,
  status: "streaming",
  reasoning: undefined,
  versions: [...old.versions, answer.id],
  key: old.key ?? old.id,
  ...answer,
});

/** What the service says of a message, with what only this page knows of it. */
export function update(before, message) {
  const reply = message.status === "streaming" ? (running.get(message.id) ?? before?.reply) : undefined;
  return { ...message, reply, key: before?.key, reasoning: before?.reasoning ?? before?.reply?.reasoning };
}

/** Listed messages, with what only this page knows of them, and what is only just being sent. */
export function attach(listed, shown) {
  const before = new Map(shown.map((message) => [message.id, message]));
  const messages = listed.map((message) => update(before.get(message.id), message));
  const answer = shown.findLast((message) => message.reply && !listed.some(({ id }) => id === message.id));
  if (!answer) return messages;

  const replaced = messages.findIndex(({ id }) => answer.versions?.includes(id));
  if (replaced !== -1) return [...messages.slice(0, replaced), answer];

  const question = shown.find(({ status }) => status === "sending");
  if (!question) return messages;
  const [listedQuestion, listedAnswer] = messages.slice(-2);
  // It may have arrived although this page has not heard so yet.
  const arrived = listedQuestion?.content === question.content && !before.has(listedQuestion.id);
  if (!arrived) return [...messages, question, answer];
  return [...messages.slice(0, -2), update(question, listedQuestion), update(answer, listedAnswer)];
}

/** @param {string} key of a message on this page; its id may become another one */
export const replace = (key, changes) => put((message) => (message.key ?? message.id) === key, changes);

const replaceById = (id, changes) => put((message) => message.id === id, changes);

function put(isIt, changes) {
  const { messages } = now().open;
  const at = messages.findIndex(isIt);
  if (at !== -1) changePart("open", { messages: messages.with(at, { ...messages[at], ...changes }) });
}

export function tellUnlessQuiet(error) {
  if (error.code === undefined) throw error;
  if (!QUIET.includes(error.code)) tellError(error);
}
