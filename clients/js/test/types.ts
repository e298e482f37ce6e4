// Compiled, never run: what the types allow, and what they forbid.
import { DabirClient, DabirError, type Chat, type Reply } from "dabir-client";

const socketOptions = { path: "/x" };
const client = new DabirClient({ url: "http://localhost:3000", patience: 1000, socketOptions });

export async function used(): Promise<string> {
  const { principal, anon_id: anonId } = await client.connect();
  const off: () => void = client.on("chat_created", ({ chat }) => chat.title?.length);
  off();
  client.on("state", (state) => state === "online");
  for await (const { data } of client.events()) void data;
  for await (const { message } of client.events("message_completed")) void message.usage?.cost;
  for await (const heard of client.events()) {
    if (heard.name === "usage" && heard.data.kind === "user") return heard.data.balance;
  }
  const reply: Reply = client.send({ content: "x", chatId: null, editOf: undefined, topP: 0.5 });
  for await (const piece of reply) piece.toUpperCase();
  reply.on("end", ({ error, content, message }) => [error?.code, content.length, message?.id]);
  try {
    await reply.done;
  } catch (error) {
    if (error instanceof DabirError && error.code === "CHAT_BUSY") return error.details.reply_id;
  }
  const chats: Chat[] = (await client.listChats({ archived: true })).chats;
  for await (const chat of client.chats()) chats.push(chat);
  return `${principal} ${anonId} ${(await client.claim()).length}`;
}

export function forbidden(): void {
  // @ts-expect-error a message needs its content
  client.send({ chatId: "x" });
  // @ts-expect-error nothing of that name is told
  client.on("chat_exploded", () => {});
  // @ts-expect-error a state of its own
  client.state = "online";
  // @ts-expect-error names are in camelCase
  client.send({ content: "x", chat_id: "x" });
  // @ts-expect-error no such option
  new DabirClient({ tokn: "x" });
}
