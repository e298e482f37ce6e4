// Who calls, and what is told while connections come and go.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import * as parser from "socket.io-parser";
import { begun, client, collected, connected, front, gate, next, release, token } from "./world.js";

function deferred() {
  const handles = {};
  handles.promise = new Promise((resolve) => Object.assign(handles, { resolve }));
  return handles;
}

const visitor = (options) => client({ anonId: undefined, ...options });

test("a visitor without an id is given one, for both channels", async () => {
  const minted = [];
  const counting = (address, options) => {
    if (address.endsWith("/anonymous")) minted.push(address);
    return fetch(address, options);
  };
  const dabir = await visitor({ fetch: counting });
  const told = next(dabir, "anon_id");
  const [first, second] = [dabir.send({ content: "one" }), dabir.send({ content: "two" })];
  const session = await dabir.connect();
  await Promise.all([first.done, second.done]);
  assert.equal(session.anon_id, await told);
  assert.equal(dabir.anonId, session.anon_id);
  assert.equal((await dabir.listChats()).total, 2);
  assert.equal((await dabir.usage()).used, 2);
  assert.equal(minted.length, 1);
});

test("who called while it connected is not the caller of the next connection", async () => {
  const sub = `user-${randomUUID()}`;
  const signed = await token(sub);
  const minted = deferred();
  const asked = deferred();
  const holding = (address, options) => {
    if (!address.endsWith("/anonymous")) return fetch(address, options);
    asked.resolve();
    return minted.promise;
  };
  const dabir = await visitor({ fetch: holding });
  dabir.connect();
  await asked.promise;
  const session = dabir.signIn(signed);
  minted.resolve(Response.json({ anon_id: "0123456789abcdef" }));
  assert.equal((await session).principal, `user:${sub}`);
  assert.equal((await dabir.usage()).kind, "user");
});

test("a visitor signs in and claims the chats, and is a visitor again after it", async () => {
  const dabir = await visitor();
  const { anon_id: anonId } = await dabir.connect();
  const { chatId } = await dabir.send({ content: "mine" }).done;
  const name = gate();
  const underWay = dabir.send({ content: `[[gate-${name}]]`, chatId });
  await begun(underWay);

  const sub = `user-${randomUUID()}`;
  assert.equal((await dabir.signIn(await token(sub))).principal, `user:${sub}`);
  assert.deepEqual(await dabir.claim(), [chatId]);
  const accounts = [];
  const off = dabir.on("usage", ({ kind }) => accounts.push(kind));
  await release(name);
  await underWay.done;
  assert.equal((await dabir.listChats()).chats[0].id, chatId);
  await dabir.send({ content: "still mine", chatId }).done;
  off();
  assert.equal(accounts.includes("anonymous"), false, "what the visitor pays is the visitor's");

  assert.equal((await dabir.signOut()).anon_id, anonId);
  assert.equal((await dabir.listChats()).total, 0);
  assert.notEqual((await dabir.signOut(null)).anon_id, anonId);
});

test("another token of the same user takes the place of the one before", async () => {
  const sub = `user-${randomUUID()}`;
  const dabir = await connected({ sub });
  const sessions = [];
  dabir.on("session", ({ principal }) => sessions.push(principal));
  await dabir.signIn(await token(sub, 7200));
  assert.deepEqual(sessions, [], "nothing was missed, so nothing needs to be listed anew");
  await dabir.signIn(await token("another"));
  assert.deepEqual(sessions, ["user:another"]);
});

test("signing in before there is a connection makes one, and no visitor", async () => {
  const dabir = await visitor();
  const users = await token(`user-${randomUUID()}`);
  const sessions = [];
  dabir.on("session", ({ kind }) => sessions.push(kind));
  dabir.connect();
  await dabir.signIn(users);
  assert.equal((await dabir.listChats()).total, 0);
  assert.deepEqual(sessions, ["user"]);
});

test("what one user asked is asked with another token of the same, and not for another", async () => {
  const sub = `user-${randomUUID()}`;
  const between = await front();
  const dabir = await connected({ sub, url: between.url });
  const whileOffline = async (signIn) => {
    const offline = next(dabir, "state");
    await between.down();
    assert.equal(await offline, "offline");
    const asked = dabir.listChats().catch((error) => error);
    const signed = dabir.signIn(signIn);
    await between.up();
    await signed;
    return asked;
  };
  assert.equal((await whileOffline(await token(sub))).total, 0);
  assert.equal((await whileOffline(await token("another"))).code, "CLOSED");
});

test("a push that a connection repeats is told once", async () => {
  const between = await front();
  let decoding;
  class Decoder extends parser.Decoder {
    constructor(...options) {
      super(...options);
      decoding = this;
    }
  }
  const socketOptions = { parser: { ...parser, Decoder } };
  const dabir = await connected({ url: between.url, socketOptions });
  const told = [];
  dabir.on("chat_created", ({ chat }) => told.push(chat.title));
  const pushed = next(dabir, "chat_created");
  await dabir.createChat({ title: "one" });
  const push = await pushed;
  const again = next(dabir, "session");
  between.cut();
  await again;
  // As a node would that has not come as far as the one before.
  decoding.emitReserved("decoded", { type: 2, nsp: "/chats", data: ["chat_created", push] });
  const last = next(dabir, "chat_created");
  await dabir.createChat({ title: "two" });
  await last;
  assert.deepEqual(told, ["one", "two"]);
});

test("a bad token is refused, and another one lets in", async () => {
  const dabir = await client({ token: "broken" });
  const told = next(dabir, "unauthorized");
  await assert.rejects(dabir.connect(), { code: "UNAUTHORIZED" });
  assert.equal((await told).code, "UNAUTHORIZED");
  assert.equal(dabir.state, "refused");
  await assert.rejects(dabir.listChats(), { code: "UNAUTHORIZED" });
  await assert.rejects(dabir.send({ content: "x" }).done, { code: "UNAUTHORIZED", status: 401 });
  await dabir.signIn(await token("somebody"));
  assert.equal(dabir.state, "online");
});

test("when a token runs out, who signs in again in time misses nothing", async () => {
  const sub = `user-${randomUUID()}`;
  const between = await front();
  const short = await token(sub, 2);
  const prompt = await connected({ token: short, url: between.url });
  const late = await connected({ token: short });
  const told = [];
  late.on("unauthorized", ({ code }) => told.push(code));
  const name = gate();
  const reply = prompt.send({ content: `[[gate-${name}]] to the end` });
  await begun(reply);

  const refused = next(late, "state", (state) => state === "refused");
  await next(prompt, "unauthorized");
  between.cut(); // the socket too: by now it can only come back with another token
  await next(reply, "waiting");
  await release(name);
  assert.match((await reply.done).content, /to the end/, "the reply needs no token");

  await prompt.signIn(await token(sub));
  await refused;
  assert.deepEqual(told, ["UNAUTHORIZED"]);
  await late.signIn(await token(sub));
  assert.deepEqual([prompt.state, late.state], ["online", "online"]);
  assert.equal((await late.listChats()).total, 1);
});

test("two clients of one user see the same, once and in order, through lost connections", async () => {
  const sub = `user-${randomUUID()}`;
  const between = await front();
  const [here, there] = [await connected({ sub }), await connected({ sub, url: between.url })];
  const heard = [];
  const events = there.events();
  const listening = (async () => {
    for await (const { name, data } of events) {
      if (name !== "usage" && name !== "state") heard.push([name, data]);
    }
  })();

  const completed = next(there, "message_completed");
  const { chatId } = await here.send({ content: "one" }).done;
  await completed;
  const session = next(there, "session");
  between.cut();
  await session;
  await here.send({ content: "two", chatId }).done;
  const last = next(there, "chat_created", ({ chat }) => chat.title === "the end");
  await here.createChat({ title: "the end" });
  await last;
  there.close();
  await listening;

  const pushes = heard.filter(([name]) => name !== "session");
  const places = pushes.map(([, { position }]) => position);
  assert.deepEqual(places, [...places].sort((a, b) => a - b));
  const named = pushes.map(([name, data]) => `${name} ${data.position}`);
  assert.equal(new Set(named).size, named.length);
  assert.equal(named.filter((name) => name.startsWith("message_completed")).length, 2);
  assert.equal(heard.filter(([name]) => name === "session").length, 1);
});

test("a closed client is still, and can be connected again", async () => {
  const dabir = await connected();
  const reply = dabir.send({ content: `[[gate-${gate()}]]` });
  await reply.started;
  const events = collected(dabir.events("usage"));
  dabir.close();
  await assert.rejects(reply.done, { code: "DETACHED" });
  await assert.rejects(dabir.listChats(), { code: "CLOSED" });
  await events;
  await dabir.connect();
  assert.equal((await dabir.listChats()).total, 1);
  await dabir.stop({ key: reply.key });
});
