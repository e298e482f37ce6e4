/** Asking for an answer: a message, a new version of one, another answer to it; and stopping it. */

import { settle } from "./address.js";
import { client } from "./client.js";
import { clearDraft, draftOf, keepDraft } from "./drafts.js";
import { chosenModel } from "./models.js";
import { reload } from "./open_chat.js";
import { instead, isPending, replace, tellUnlessQuiet, watch } from "./replies.js";
import { change, changePart, now } from "./store.js";

/** What is not taken for reasons of an account is shown above the composer, until something changes. */
const REFUSALS = ["ANON_LIMIT_REACHED", "INSUFFICIENT_BALANCE"];

let count = 0;

/** @param {string} content @param {string} [editOf] the user message that this is a new version of */
export function send(content, editOf) {
  const { chatId, messages } = now().open;
  const reply = client.send({ content, chatId: chatId ?? undefined, model: chosenModel(now()), editOf });
  const edited = messages.find(({ id }) => id === editOf);
  const before = edited ? messages.slice(0, messages.indexOf(edited)) : messages;
  const question = {
    ...pending("user"),
    status: "sending",
    content,
    parent_id: before.at(-1)?.id ?? null,
    versions: edited?.versions ?? [],
  };
  const answer = { ...pending("assistant"), status: "streaming", content: "", versions: [], reply };
  show([...before, question, answer]);

  begun(reply, answer, (started) => {
    if (!editOf && draftOf(chatId) === content) clearDraft(chatId);
    replace(question.key, { id: started.userMessageId, chat_id: started.chatId, status: "complete" });
    if (!chatId && shows(answer)) {
      changePart("open", { chatId: started.chatId });
      settle(started.chatId);
    }
  });
  whenRefused(reply, answer, messages, () => {
    if (!editOf) giveBack(chatId, content);
  });
}

/** Another version of an answer. */
export function regenerate(messageId) {
  const { chatId, messages } = now().open;
  const at = messages.findIndex(({ id }) => id === messageId);
  const reply = client.regenerate({ chatId, messageId, model: chosenModel(now()) });
  const answer = instead(messages[at], { ...pending("assistant"), reply });
  show([...messages.slice(0, at), answer]);
  begun(reply, answer);
  whenRefused(reply, answer, messages);
}

/**
 * The answer that is under way. What is on its way to the service may be there already: it is stopped
 * as soon as that is known. Where the service cannot be reached, the message is taken back.
 */
export function stop() {
  const { messages } = now().open;
  const answer = messages.findLast(({ status }) => status === "streaming");
  const { reply } = answer ?? {};
  if (!reply) return;
  if (isPending(answer) && reply.state === "waiting") takeBack(reply);
  else {
    const end = () => reply.stop().catch(tellUnlessQuiet);
    reply.started.then(end, () => {}); // see whenRefused
  }
}

/** It may have arrived all the same. */
function takeBack(reply) {
  reply.detach();
  client.stop({ key: reply.key }).catch((error) => {
    if (error.code !== "REPLY_NOT_FOUND" && error.code !== "UNREACHABLE") tellUnlessQuiet(error);
  });
}

function show(messages) {
  change({ refusal: null, editing: null, wanted: { end: true } });
  changePart("open", { messages });
}

function begun(reply, { key }, onStarted = () => {}) {
  const start = (started) => {
    watch(reply, started);
    replace(key, { id: started.messageId, chat_id: started.chatId, model: started.model });
    onStarted(started);
  };
  reply.started.then(start, () => {}); // see whenRefused
}

/** Nothing was begun: all is as it was before, and the reader learns why. */
function whenRefused(reply, answer, messages, onRefused = () => {}) {
  reply.started.catch((error) => {
    if (shows(answer)) {
      changePart("open", { messages });
      if (error.code === "CHAT_BUSY") reload(); // with the answer that another page asked for meanwhile
    }
    onRefused();
    if (REFUSALS.includes(error.code)) change({ refusal: error });
    else if (error.code === "UNAUTHORIZED") change({ expired: true });
    else tellUnlessQuiet(error);
  });
}

/** To the composer, before what was written there since. */
function giveBack(chatId, content) {
  const written = draftOf(chatId);
  keepDraft(chatId, written && written !== content ? `${content}\n\n${written}` : content);
  change({ returned: { chatId } });
}

function pending(role) {
  count += 1;
  return { id: `new-${count}`, key: `new-${count}`, role };
}

const shows = ({ key }) => now().open.messages.some((message) => message.key === key);
