// The service, the model's provider and the front between, as `tests/clients/test_js_client.py`
// runs them: DABIR_WORLD is the address of what starts, kills and signs there.
import { randomUUID } from "node:crypto";
import { after } from "node:test";
import { DabirClient } from "dabir-client";
import { Front } from "./front.js";

const WORLD = process.env.DABIR_WORLD;

/** Where the service is, which is elsewhere after each start, and the provider. */
export let url;
export let upstream;

/** `{url, upstream}`, `{token}`, … : what the world answers. */
export async function world(what, query = {}) {
  const answer = await fetch(`${WORLD}/${what}?${new URLSearchParams(query)}`, { method: "POST" });
  const told = await answer.json();
  ({ url = url, upstream = upstream } = told);
  return told;
}

await world("where");

const closing = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

export async function front(target = url) {
  const stands = await new Front(target).up();
  closing.push(() => stands.down());
  return stands;
}

/** A client that is closed after the tests, of a new user if nobody else is named. */
export async function client({ sub = `user-${randomUUID()}`, ...options } = {}) {
  const credentials = "token" in options || "anonId" in options ? {} : { token: await token(sub) };
  const made = new DabirClient({ url, ...credentials, ...options });
  closing.push(() => made.close());
  return made;
}

export async function connected(options) {
  const made = await client(options);
  await made.connect();
  return made;
}

export const token = async (sub, expiresIn = 3600) =>
  (await world("token", { sub, expires_in: expiresIn })).token;

/** Lets the provider go on with the answers that wait at that gate. */
export const release = (gate) => fetch(`${upstream}/release?gate=${gate}`, { method: "POST" });

export const calls = async () => (await (await fetch(`${upstream}/stats`)).json()).calls;

/** The next event of that name, or the next for which `wanted` says yes. */
export function next(emitter, name, wanted = () => true) {
  return new Promise((resolve) => {
    const off = emitter.on(name, (data) => {
      if (!wanted(data)) return;
      off();
      resolve(data);
    });
  });
}

/** The first of the reply's text, which may be there already. */
export const begun = async (reply) => reply.text || next(reply, "delta");

/** What the provider says of `[[tokens-N]]`. */
export const tokens = (count) => Array.from({ length: count }, (_, number) => `t${number} `).join("");

export const collected = async (iterable) => {
  const all = [];
  for await (const item of iterable) all.push(item);
  return all;
};

export const gate = () => `g${randomUUID().slice(0, 8)}`;
