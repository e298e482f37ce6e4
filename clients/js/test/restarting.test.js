// The service dies, or is replaced, in the middle of things.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, front, gate, next, world } from "./world.js";

test("after the service was killed, what it kept wins over what was received", async () => {
  const between = await front();
  const dabir = await connected({ url: between.url });
  const reply = dabir.send({ content: "[[tokens-400-at-100]]" });
  let received = "";
  let replaced = 0;
  reply.on("delta", (delta) => (received += delta));
  reply.on("restart", () => (replaced += 1));
  const { chatId } = await reply.started;
  await next(reply, "delta", () => received.length > 400);
  const online = next(dabir, "session");
  between.target = (await world("kill")).url;

  await assert.rejects(reply.done, { code: "INTERRUPTED", retryable: true });
  await online;
  const { messages } = await dabir.listMessages(chatId);
  assert.equal(messages[1].status, "interrupted");
  assert.equal(reply.text, messages[1].content);
  assert.equal(received.startsWith(reply.text), true);
  assert.equal(replaced, reply.text === received ? 0 : 1);
  assert.equal(reply.text.length > 200, true);
});

test("what is sent while the service goes down is answered by its successor", async () => {
  const between = await front();
  const dabir = await connected({ url: between.url });
  const open = dabir.send({ content: `[[gate-${gate()}]]` }); // which holds the service up for a second
  await next(open, "delta");
  const draining = next(dabir, "draining");
  const successor = world("restart");
  await draining;
  const late = dabir.send({ content: "late" });
  const met = new Set();
  late.on("waiting", ({ error }) => met.add(error.code));
  await assert.rejects(open.done, { code: "INTERRUPTED" });
  between.target = (await successor).url;
  const { content, chatId } = await late.done;
  assert.equal(content.trim(), "late");
  // Its successor may be there before the next try.
  met.delete("UNREACHABLE");
  assert.deepEqual([...met], ["SERVER_DRAINING"]);
  assert.equal((await dabir.listMessages(chatId)).total, 2);
});

test("positions of another log are forgotten", async () => {
  const between = await front();
  const dabir = await connected({ url: between.url });
  await dabir.send({ content: "in the old log" }).done;
  const { log_id: old, position } = dabir.session;
  const anew = next(dabir, "session");
  between.target = (await world("replace")).url;
  const session = await anew;
  assert.notEqual(session.log_id, old);
  assert.equal(session.position < position, true);
  assert.deepEqual((await dabir.listChats()).chats, []);
  const created = next(dabir, "chat_created");
  await dabir.createChat({ title: "in the new one" });
  assert.equal((await created).chat.title, "in the new one");
});
