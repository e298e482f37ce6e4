// Answers through bad connections: no character is lost, none comes twice.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { begun, calls, client, collected, connected, front, gate, next, release, tokens } from "./world.js";

test("cuts at random places lose nothing and double nothing", async (t) => {
  const between = await front();
  between.faults = Array.from({ length: 30 }, () => ({ cut: randomInt(2500) }));
  t.diagnostic(`cut after ${between.faults.map(({ cut }) => cut)}`);

  const read = async () => {
    const dabir = await client({ url: between.url });
    const reply = dabir.send({ content: "[[tokens-300-at-300]]" });
    const deltas = [];
    reply.on("delta", (delta) => deltas.push(delta));
    reply.on("restart", () => assert.fail("the text was replaced"));
    const pieces = await collected(reply);
    const { content, message, finishReason } = await reply.done;
    for (const text of [deltas.join(""), pieces.join(""), reply.text, content, message.content]) {
      assert.equal(text, tokens(300));
    }
    assert.equal(finishReason, "stop");
  };
  const before = await calls();
  await Promise.all(Array.from({ length: 6 }, read));
  assert.equal(between.faults.length, 0, "all cuts were met");
  assert.equal(await calls(), before + 6);
});

test("a slow reader gets all that came meanwhile, in fewer pieces", async () => {
  const reply = (await client()).send({ content: "[[tokens-100]]" });
  const reading = reply[Symbol.asyncIterator]();
  const first = await reading.next();
  await reply.done;
  const rest = await collected(reading);
  assert.deepEqual(await collected(reply.events()), [], "there is nothing more to hear");
  assert.equal(first.value + rest.join(""), tokens(100));
  assert.equal(rest.length <= 1, true);
});

test("whoever breaks out of the loop stops reading, and not the reply", async () => {
  const dabir = await client();
  const name = gate();
  const reply = dabir.send({ content: `[[gate-${name}]] and so on` });
  for await (const piece of reply) if (piece) break;
  assert.equal(reply.state, "detached");
  await assert.rejects(reply.done, { code: "DETACHED" });
  await release(name);
  const { replyId, chatId } = await reply.started;
  const whole = (await dabir.follow({ replyId }).done).content;
  assert.match(whole, /and so on/);
  assert.equal((await dabir.follow({ chatId }).done).content, whole);
});

test("a message whose answer was lost is sent again, and is one message", async () => {
  const between = await front();
  const dabir = await connected({ url: between.url });
  const before = await calls();
  between.faults.push({ cut: 0 }, { cut: 0 }, { cut: 10 });
  const { chatId, content } = await dabir.send({ content: "once" }).done;
  assert.equal(content.trim(), "once");
  assert.equal(await calls(), before + 1);
  const messages = await collected(dabir.messages(chatId));
  assert.deepEqual(messages.map(({ role }) => role), ["assistant", "user"]);
  const keys = between.asked.map(({ headers }) => headers["idempotency-key"]);
  assert.equal(new Set(keys).size, 1);
});

test("what a proxy says in place of the service is not believed", async () => {
  const between = await front();
  const dabir = await client({ url: between.url });
  const page = { "content-type": "text/html" };
  between.faults.push(
    { answer: { status: 502, headers: page, body: "<h1>Bad gateway</h1>" } },
    { answer: { status: 200, headers: page, body: "<h1>Sign in to this network</h1>" } },
    { answer: { status: 503, headers: { ...page, "retry-after": "1" }, body: "null" } },
    { close: 700 },
    { answer: { status: 504, headers: page, body: "" } },
    { close: 0 },
  );
  const reply = dabir.send({ content: "[[tokens-100-at-400]]" });
  const waited = [];
  reply.on("waiting", ({ error }) => waited.push(error.status));
  assert.equal((await reply.done).content, tokens(100));
  assert.deepEqual(waited, [502, undefined, 503, undefined, 504, undefined]);
  const [, , refused, asked] = between.asked;
  assert.equal(asked.at - refused.at >= 1000, true, "Retry-After is honoured");
  assert.equal(between.asked[4].headers["last-event-id"] !== undefined, true);
});

test("a connection that went dead without a word is left", async () => {
  const between = await front();
  const dabir = await client({ url: between.url, silence: 300 });
  between.faults.push({ freeze: 900 });
  const reply = dabir.send({ content: "[[tokens-200-at-400]]" });
  assert.equal((await reply.done).content, tokens(200));
  assert.equal(between.asked.length, 2);
});

test("while there is no network a message waits for it, as long as its sender's patience", async () => {
  const between = await front();
  const dabir = await client({ url: between.url });
  const hasty = await client({ url: between.url, patience: 500 });
  await between.down();
  const reply = dabir.send({ content: "patience" });
  await assert.rejects(hasty.send({ content: "haste" }).done, { code: "UNREACHABLE", retryable: true });
  assert.equal(reply.state, "waiting");
  await between.up();
  assert.equal((await reply.done).content.trim(), "patience");
});

test("when the browser says that the network is back, nobody waits longer", async () => {
  let online;
  globalThis.addEventListener = (name, listener) => (online = listener); // as in a page
  globalThis.removeEventListener = () => {};
  const between = await front();
  const dabir = await connected({ url: between.url });
  await between.down();
  const reply = dabir.send({ content: "back" });
  const { delay } = await next(reply, "waiting", ({ delay }) => delay > 1600);
  await between.up();
  const begun = Date.now();
  online();
  await reply.done;
  assert.equal(Date.now() - begun < delay, true);
  assert.equal((await dabir.listChats()).total, 1);
});

test("refusals that waiting does not mend come at once", async () => {
  const between = await front();
  const dabir = await client({ url: between.url });
  const refused = (options, error) => assert.rejects(dabir.send(options).done, error);
  const unheardOf = { code: "MODEL_NOT_FOUND", status: 404, retryable: false };
  await refused({ content: "x", model: "none" }, unheardOf);
  const malformed = { code: "VALIDATION_ERROR", status: 400, details: { path: "$.temperature" } };
  await refused({ content: "x", temperature: 7 }, malformed);
  assert.equal(between.asked.length, 2);

  const name = gate();
  const first = dabir.send({ content: `[[gate-${name}]]` });
  const { chatId, replyId } = await first.started;
  await refused({ content: "x", chatId }, { code: "CHAT_BUSY", details: { reply_id: replyId } });
  await release(name);
  await first.done;
});

test("a failed reply is its reader's failure, however it is read", async () => {
  const dabir = await client();
  const reply = dabir.send({ content: "[[cut]]" });
  let text = "";
  await assert.rejects(
    async () => {
      for await (const piece of reply) text += piece;
    },
    { code: "PROVIDER_ERROR", name: "DabirError" },
  );
  await assert.rejects(reply.done, { code: "PROVIDER_ERROR" });
  assert.equal(text, reply.text);
  assert.notEqual(text, "");
});

test("thinking aloud is told apart from the answer", async () => {
  const reply = (await client()).send({ content: "[[reasoning]] hello" });
  assert.match((await reply.done).content, /hello/);
  assert.notEqual(reply.reasoning, "");
  assert.equal(reply.text.includes(reply.reasoning), false);
});

test("stop ends the reply for everybody, and keeps what came", async () => {
  const dabir = await client();
  const reply = dabir.send({ content: `[[gate-${gate()}]] never said` });
  const { chatId } = await reply.started;
  const other = dabir.follow({ chatId });
  await Promise.all([begun(reply), begun(other)]);
  assert.equal((await reply.stop()).stopping, true);
  for (const { content, finishReason, message } of await Promise.all([reply.done, other.done])) {
    assert.deepEqual([content, finishReason, message.status], [reply.text, "stopped", "stopped"]);
    assert.equal(content.includes("never said"), false);
  }
  assert.equal((await dabir.stop({ key: reply.key })).stopping, false);
});

test("regenerate and edit make versions, and the branches can be walked", async () => {
  const dabir = await connected();
  const { chatId, userMessageId, messageId } = await dabir.send({ content: "first" }).started;
  await dabir.follow({ chatId }).done;
  const again = await dabir.regenerate({ chatId, messageId }).done;
  assert.deepEqual([again.replaces, again.message.version], [messageId, 2]);

  const edited = await dabir.send({ content: "second", chatId, editOf: userMessageId }).done;
  const shown = async () => (await dabir.listMessages(chatId)).messages;
  assert.deepEqual((await shown()).map(({ content }) => content.trim()), ["second", "second"]);
  assert.equal((await shown())[0].versions.length, 2);

  await dabir.selectBranch(chatId, messageId);
  assert.deepEqual((await shown()).map(({ id }) => id), [userMessageId, messageId]);
  const branch = await dabir.listMessages(chatId, { branch: edited.messageId });
  assert.equal(branch.messages[1].id, edited.messageId);

  const below = await dabir.send({ content: "third", chatId, parentId: again.messageId }).done;
  assert.equal((await shown()).some(({ id }) => id === again.messageId), true);
  assert.equal((await shown()).at(-1).id, below.messageId);
});

test("a chat without a reply has nothing to follow", async () => {
  const dabir = await connected();
  const chat = await dabir.createChat({ title: "Empty" });
  await assert.rejects(dabir.follow({ chatId: chat.id }).done, { code: "REPLY_NOT_FOUND" });
});
