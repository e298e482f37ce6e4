// Lists and changes over the socket.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as parser from "socket.io-parser";
import { collected, connected, front, next } from "./world.js";

const titles = (chats) => chats.map(({ title }) => title);

test("pages are one list to whoever iterates", async () => {
  const dabir = await connected();
  for (const title of "abcdefg") await dabir.createChat({ title });
  assert.deepEqual(titles(await collected(dabir.chats({ limit: 3 }))), [..."gfedcba"]);

  const { chatId } = await dabir.send({ content: "one" }).done;
  await dabir.send({ content: "two", chatId }).done;
  const messages = await collected(dabir.messages(chatId, { limit: 3 }));
  assert.deepEqual(messages.map(({ content }) => content.trim()), ["two", "two", "one", "one"]);
  const { chats, total, has_more: more } = await dabir.listChats({ limit: 2 });
  assert.deepEqual([chats[0].id, total, more], [chatId, 8, true]);
});

test("chats are found, renamed, archived and deleted", async () => {
  const dabir = await connected();
  dabir.on("error", () => assert.fail("whoever asks has the error as the answer"));
  const { chatId } = await dabir.send({ content: "the scribe of Rey" }).done;
  const { results } = await dabir.search("scribe");
  assert.deepEqual(results.map(({ chat }) => chat.id), [chatId, chatId]);

  assert.equal((await dabir.renameChat(chatId, "دبیر")).title, "دبیر");
  assert.equal((await dabir.archiveChat(chatId)).archived, true);
  assert.deepEqual((await dabir.listChats()).chats, []);
  assert.deepEqual(titles(await collected(dabir.chats({ archived: true }))), ["دبیر"]);
  await dabir.archiveChat(chatId, false);
  await dabir.deleteChat(chatId);
  await assert.rejects(dabir.listMessages(chatId), { code: "CHAT_NOT_FOUND", retryable: false });
  assert.equal((await dabir.listModels()).default, "free");
  assert.equal((await dabir.usage()).kind, "user");
});

test("a request whose answer was lost is asked again, if that does no harm", async () => {
  const between = await front();
  const dabir = await connected({ url: between.url });
  const pushed = next(dabir, "chat_created"); // which would be lost in place of what is meant to be
  const { id } = await dabir.createChat({ title: "before" });
  await pushed;

  const lost = async (ask) => {
    const again = next(dabir, "session");
    between.loseAnswer();
    const answer = await ask().catch((error) => error);
    await again;
    return answer;
  };
  assert.equal((await lost(() => dabir.renameChat(id, "after"))).title, "after");
  assert.equal(await lost(() => dabir.deleteChat(id)), undefined);
  assert.equal((await lost(() => dabir.createChat({ title: "one" }))).code, "UNREACHABLE");
  assert.deepEqual(titles((await dabir.listChats()).chats), ["one"]);
});

test("a page that a network gives in place of the service is no answer", async () => {
  const between = await front();
  const page = { status: 200, headers: { "content-type": "text/html" }, body: "<h1>Sign in to the network</h1>" };
  const dabir = await connected({ url: between.url });
  const reply = dabir.send({ content: "[[slow]] on" });
  await reply.started;
  between.faults = [{ answer: page }, { answer: page }];
  assert.equal((await reply.stop()).stopping, true);
  assert.equal(between.faults.length, 0);
});

test("who closes the client waits for no answer", async () => {
  const dabir = await connected();
  const asked = dabir.listChats();
  dabir.close();
  await assert.rejects(asked, { code: "CLOSED" });
});

test("a request waits while the socket reconnects, and not for ever", async () => {
  const between = await front();
  const dabir = await connected({ url: between.url });
  const hasty = await connected({ url: between.url, requestTimeout: 300 });
  const offline = next(dabir, "state", (state) => state === "offline");
  await between.down();
  await offline;
  const listed = dabir.listChats();
  await assert.rejects(hasty.listChats(), { code: "UNREACHABLE", retryable: true });
  await between.up();
  assert.deepEqual((await listed).chats, []);
});

test("a connection over which no answer comes is given up", async () => {
  const between = await front();
  const dabir = await connected({ url: between.url, requestTimeout: 300 });
  between.mute();
  const offline = next(dabir, "state");
  await assert.rejects(dabir.listChats(), { code: "TIMED_OUT", retryable: true });
  assert.equal(await offline, "offline");
  const again = next(dabir, "session");
  between.mute(false);
  await again;
  assert.deepEqual((await dabir.listChats()).chats, []);
});

test("each request tells what was seen, and is asked again where the service is behind", async () => {
  const asked = [];
  let ahead = 0;
  class Encoder extends parser.Encoder {
    encode(packet) {
      if (packet.data?.[0] === "list_chats") {
        asked.push(packet.data[1].min_position);
        packet.data[1].min_position += ahead; // which the service has not reached
        ahead = 0;
      }
      return super.encode(packet);
    }
  }
  const dabir = await connected({ socketOptions: { parser: { ...parser, Encoder } } });
  const { position } = await dabir.send({ content: "hello" }).done;
  ahead = 1_000_000;
  assert.equal((await dabir.listChats()).chats.length, 1);
  assert.equal(asked.length, 2);
  assert.equal(asked[0] >= position, true);
});
