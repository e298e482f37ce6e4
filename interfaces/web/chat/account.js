/** Who is signed in, what they may spend, and how that changes. */

import { text } from "../common/i18n.js";
import { go } from "./address.js";
import {
  forgetChats,
  hasVisitorChatted,
  keepToken,
  keepVisitor,
  keptToken,
  keptVisitor,
  onTokenElsewhere,
  onVisitorElsewhere,
} from "./caller.js";
import { forgetList } from "./chats.js";
import { client } from "./client.js";
import { clearDrafts, draftOf, keepDraft } from "./drafts.js";
import { loadModels } from "./models.js";
import { leaveChat } from "./open_chat.js";
import { change, now } from "./store.js";
import { tell, tellError, telling } from "./toasts.js";

/** A token is being tried: whether it is good is told where it was given. */
let trying = false;
/** The chat that was open when somebody else was the caller. */
let left = null;

export function keepAccount() {
  client.on("state", (connection) => change({ connection }));
  client.on("anon_id", (anonId) => {
    if (!keptVisitor()) keepVisitor(anonId);
    beKeptVisitor();
  });
  onVisitorElsewhere(beKeptVisitor);
  client.on("usage", (usage) => change({ usage, ...(mayGoOn(usage) && { refusal: null }) }));
  client.on("draining", () => change({ draining: true }));
  client.on("unauthorized", () => trying || change({ expired: true }));
  client.on("session", welcome);
  onTokenElsewhere((token) => (token ? enter(token) : leave()).catch(tellError));
}

/** Tabs that are opened together each get an id, of which one is kept: the others' chats would be lost. */
function beKeptVisitor() {
  const kept = keptVisitor();
  if (kept && kept !== client.anonId && !keptToken()) telling(client.signOut(kept));
}

function welcome(session) {
  const before = now().session;
  const claimable = session.kind === "user" && hasVisitorChatted() && client.anonId ? client.anonId : null;
  change({ session, claimable, draining: false, expired: false });
  if (before && before.principal !== session.principal) bringDraft(session);
  telling(loadModels());
}

/** It is not this caller's. What was written there goes along with who signs in. */
function bringDraft({ kind }) {
  left = now().open.chatId;
  if (kind === "user" && !draftOf(null)) keepDraft(null, draftOf(left));
  leaveChat();
}

/** A refusal that stands no longer need not be shown. */
function mayGoOn(usage) {
  const { refusal } = now();
  if (!refusal) return false;
  const { required, scope } = refusal.details;
  if (usage.kind === "user") return required === undefined || Number(usage.available) >= Number(required);
  return usage.remaining > 0 && scope !== "address";
}

export const openSignIn = () => change({ dialog: { name: "signIn" } });

/** Rejects with the refusal of a token that is not good; then all is as it was before. */
export async function signIn(token) {
  const { expired } = now();
  trying = true;
  try {
    await enter(token);
    keepToken(token);
  } catch (refused) {
    if (!keptToken()) await client.signOut();
    else if (!expired) await client.signIn(keptToken());
    throw refused;
  } finally {
    trying = false;
  }
}

export async function signOut() {
  keepToken(undefined);
  clearDrafts(); // the next one at this browser may be somebody else
  change({ returned: { chatId: now().open.chatId } });
  await telling(leave());
}

async function enter(token) {
  await client.signIn(token);
  change({ expired: false, refusal: null });
}

/** Nothing of the user stays in sight, also while the service cannot be reached. */
async function leave() {
  change({ session: null, expired: false, refusal: null, claimable: null, usage: null, dialog: null });
  leaveChat();
  forgetList();
  await client.signOut();
}

export async function claim() {
  const claimed = await telling(client.claim(now().claimable));
  if (!claimed) return;
  forgetChats();
  change({ claimable: null });
  tell(text("claimed", { count: claimed.length }));
  if (claimed.includes(left)) go(left);
}

export function declineClaim() {
  forgetChats();
  change({ claimable: null });
}
