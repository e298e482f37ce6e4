// A client of Dabir for browsers and Node: chats over Socket.IO, answers over Server-Sent Events.
// What the service promises, and this relies on, is in docs/protocol.md of the service.
import { createParser } from "eventsource-parser";
import { io } from "socket.io-client";

const STREAM = "/api/v1/messages/send";
const REGENERATE = "/api/v1/messages/regenerate";
const STOP = "/api/v1/messages/stop";
const MINT = "/api/v1/anonymous";

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** How often a fault of the service itself is met before it is believed. */
const FAULTS_BELIEVED = 5;

/** Pushes that pass through under their own names. */
const PUSHES = [
  "chat_created",
  "chat_updated",
  "chat_deleted",
  "message_created",
  "reply_started",
  "message_completed",
  "message_failed",
];

/**
 * What went wrong, by the service's codes, and these of the client's own:
 * `UNREACHABLE` (no answer, or none of the service's), `TIMED_OUT`, `CLOSED`, `DETACHED`.
 */
export class DabirError extends Error {
  constructor({ code, error, retryable = false, details }, { status, retryAfter, cause } = {}) {
    super(error, { cause });
    this.name = "DabirError";
    this.code = code;
    this.retryable = retryable;
    this.details = details ?? {};
    /** The HTTP status of a refusal, undefined for what was told in a stream or on the socket. */
    this.status = status;
    /** Seconds to wait before asking again, where the service said so. */
    this.retryAfter = retryAfter ?? this.details.retry_after;
  }
}

/** Listeners by name, and async iterators over what they would hear. */
class Emitter {
  #listeners = new Map();
  #queues = new Map();

  /** Calls `listener` at each `name` until the function that is returned is called. */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Iterates over the events of that name, or as `{name, data}` over all, from now on. */
  events(name) {
    const queue = new Queue(() => this.#queues.delete(queue));
    this.#queues.set(queue, name);
    return queue;
  }

  _emit(name, data) {
    for (const [queue, wanted] of this.#queues) {
      if (wanted === undefined) queue.add({ name, data });
      else if (wanted === name) queue.add(data);
    }
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(data);
      } catch (error) {
        // As with an EventTarget: a listener's fault is its own, and is seen.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  _endEvents() {
    for (const queue of [...this.#queues.keys()]) queue.end();
  }
}

/** An async iterator over what is added, in order, until its end. */
class Queue {
  #items = [];
  #takers = [];
  #ended = false;
  #onEnd;

  constructor(onEnd) {
    this.#onEnd = onEnd;
  }

  add(value) {
    const taker = this.#takers.shift();
    if (taker) taker({ value, done: false });
    else this.#items.push(value);
  }

  end() {
    this.#ended = true;
    this.#onEnd();
    for (const taker of this.#takers.splice(0)) taker({ value: undefined, done: true });
  }

  next() {
    if (this.#items.length) return Promise.resolve({ value: this.#items.shift(), done: false });
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  return() {
    this.#items = [];
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

/** A promise with its handles. Who does not wait for it need not catch its failure. */
function deferred() {
  const handles = {};
  handles.promise = new Promise((resolve, reject) => Object.assign(handles, { resolve, reject }));
  handles.promise.catch(() => {}); // it is told by events, and by other promises, too
  return handles;
}

/** Grows with each failure up to ten seconds, and differs among those who failed together. */
function pauseAfter(failures, error) {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
  const asked = (error.retryAfter ?? 0) * 1000;
  return asked + longest * (0.5 + Math.random() / 2);
}

/** What an answer that is not 2xx says, whoever gave it: the service, or a proxy before it. */
async function refusal(response) {
  const { status, headers } = response;
  const body = await response.text().catch(() => ""); // cut off: the status remains
  const type = headers.get("content-type") ?? "";
  const json = type.startsWith("text/event-stream") ? body.match(/^data: (.*)$/m)?.[1] : body;
  const retryAfter = Number(headers.get("retry-after")) || undefined;
  try {
    const told = JSON.parse(json);
    if (typeof told?.code === "string") return new DabirError(told, { status, retryAfter });
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // a page of a proxy
  }
  const error = `The answer was HTTP ${status}, and not from the service.`;
  const retryable = status >= 500 || [408, 425, 429].includes(status);
  return new DabirError({ code: "UNREACHABLE", error, retryable }, { status, retryAfter });
}

/** The JSON of an answer: what somebody between says with 200, such as a page to sign in at, is none. */
const told = (response) =>
  response.json().catch((cause) => {
    throw unreachable(cause);
  });

/** HTTP to one service, on behalf of whoever is given. */
class Http {
  #url;
  #fetch;
  #sleepers = new Set();

  constructor(url, fetch) {
    this.#url = url;
    this.#fetch = fetch;
  }

  /** Throws a DabirError for everything but an answer of 2xx. */
  async ask(path, { method = "POST", who, headers = {}, body, signal } = {}) {
    const credentials = who?.token
      ? { authorization: `Bearer ${who.token}` }
      : who?.anonId && { "x-anon-id": who.anonId };
    const content = body && { "content-type": "application/json" };
    let response;
    try {
      response = await this.#fetch(this.#url + path, {
        method,
        headers: { ...content, ...credentials, ...headers },
        body: body && JSON.stringify(body),
        cache: "no-store",
        signal,
      });
    } catch (cause) {
      throw unreachable(cause);
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  /** Waits, but not on after `signal`, nor after `wake()` where it was for the network. */
  pause(ms, { signal, forNetwork }) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#sleepers.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      if (forNetwork) this.#sleepers.add(done);
      signal?.addEventListener("abort", done);
    });
  }

  /** The service can be reached again: nobody needs to wait longer. */
  wake() {
    for (const done of [...this.#sleepers]) done();
  }
}

function unreachable(cause) {
  return new DabirError(
    { code: "UNREACHABLE", error: "The service cannot be reached.", retryable: true },
    { cause },
  );
}

/**
 * One answer, read through cut connections, proxies that give up, and restarts of the service.
 *
 * Tells `started`, `delta`, `reasoning`, `restart` (the text was replaced: show `reply.text`),
 * `waiting` (the connection is gone, it will be tried again), and at last `end`.
 */
class Reply extends Emitter {
  /** The answer so far: exactly what the deltas make, and after the end what the service kept. */
  text = "";
  /** What the model thought aloud so far, where it shows that. */
  reasoning = "";
  /** "sending", "streaming", "waiting", "ended" or "detached" */
  state = "sending";
  /** Under which the message may be sent again, after a reload too, without becoming a second one. */
  key;

  #client;
  #who;
  #opening;
  #lastId = null;
  #bare = false;
  #started = deferred();
  #done = deferred();
  #changed = deferred();
  #failure = null;
  #reading = new AbortController();
  #failures = 0;
  #waited = 0;

  /** `opening`: `{path, method, headers?, body?}` of the request that begins it. */
  constructor(client, who, opening, key) {
    super();
    this.#client = client;
    this.#who = who;
    this.#opening = opening;
    this.key = key;
    this.#run();
  }

  /** `{chatId, userMessageId, messageId, replyId, streamToken, model, replaces?}` once it is begun. */
  get started() {
    return this.#started.promise;
  }

  /** The end: `{content, finishReason, usage, message, …}`, or the DabirError that it failed with. */
  get done() {
    return this.#done.promise;
  }

  /** Ends the reply itself, for everybody; what came until then is kept. */
  async stop() {
    const { replyId } = await this.#started.promise;
    return this.#client.stop({ replyId }, this.#who);
  }

  /** Stops reading. The reply goes on, and may be followed again. */
  detach() {
    if (this.#isOver()) return;
    this.#end("detached", detached());
  }

  events(name) {
    const queue = super.events(name);
    if (this.#isOver()) queue.end();
    return queue;
  }

  /** Pieces of the text. A slow reader gets larger ones; who breaks out of the loop detaches. */
  async *[Symbol.asyncIterator]() {
    let at = 0;
    try {
      for (;;) {
        const piece = this.text.slice(at);
        at += piece.length;
        if (piece) yield piece;
        else if (this.#isOver()) break;
        else await this.#changed.promise;
      }
    } finally {
      this.detach();
    }
    if (this.state === "ended" && this.#failure) throw this.#failure;
  }

  async #run() {
    const { http, silence } = this.#client;
    while (!this.#isOver()) {
      const begun = Date.now();
      const failure = await this.#attempt().catch((error) => error);
      if (this.#isOver()) return;
      const delay = pauseAfter(this.#failures, failure);
      this.#waited += Math.min(Date.now() - begun, silence) + delay; // a machine may have slept
      if (!this.#mayTryAgain(failure)) return this.#fail(failure);
      this.#failures += 1;
      this.state = "waiting";
      this._emit("waiting", { error: failure, delay });
      const forNetwork = ["UNREACHABLE", "SERVER_DRAINING"].includes(failure.code);
      await http.pause(delay, { signal: this.#reading.signal, forNetwork });
    }
  }

  /** Reads one connection to its end. Throws, or returns, why it was not the reply's end. */
  async #attempt() {
    const connection = new AbortController();
    const hangUp = () => connection.abort();
    this.#reading.signal.addEventListener("abort", hangUp);
    let watch = setTimeout(hangUp, this.#client.silence);
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(hangUp, this.#client.silence);
    };
    try {
      const response = await this.#open(connection.signal);
      heard();
      if (response.status === 204) return notFound();
      return await this.#read(response, heard);
    } finally {
      clearTimeout(watch);
      this.#reading.signal.removeEventListener("abort", hangUp);
      connection.abort(); // of an answer that nobody reads to its end
    }
  }

  async #open(signal) {
    const { http } = this.#client;
    const accept = { accept: "text/event-stream" };
    if (this.#lastId === null) {
      const { path, headers, ...opening } = this.#opening;
      const who = await this.#client.known(this.#who);
      return http.ask(path, { ...opening, who, headers: { ...accept, ...headers }, signal });
    }
    // The id of an event opens its reply by itself, also where the token has run out meanwhile.
    const who = this.#bare ? undefined : this.#who;
    const headers = { ...accept, "last-event-id": this.#lastId };
    return http.ask(STREAM, { method: "GET", who, headers, signal });
  }

  async #read(response, heard) {
    let broken = null;
    const parser = createParser({
      onEvent: ({ id, event, data }) => {
        broken = this.#take(event, id, JSON.parse(data)) ?? broken;
      },
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => {
        throw unreachable(cause);
      });
      if (done) return broken ?? unreachable();
      heard();
      parser.feed(value);
    }
  }

  /** Returns the error of an event that speaks of this connection alone. */
  #take(name, id, data) {
    // Whose account it is, of a reply that was sent elsewhere, only the socket knows.
    if (name === "usage_info" && this.key) this.#client.account(data, this.#who);
    if (this.#isOver()) return null;
    if (name === "assistant_error" && !data.reply_id) return unreachable(new DabirError(data));
    this.#lastId = id ?? this.#lastId;
    this.#failures = this.#waited = 0;
    this.state = "streaming";
    if (data.position !== undefined) this.#client.seen(data.position);
    this.#events[name]?.(data);
    return null;
  }

  #events = {
    assistant_typing: (data) => this.#begin(data),
    assistant_regenerating: (data) => this.#begin(data),
    assistant_delta: ({ delta }) => {
      this.text += delta;
      this._emit("delta", delta);
      this.#change();
    },
    assistant_reasoning: ({ delta }) => {
      this.reasoning += delta;
      this._emit("reasoning", delta);
    },
    assistant_complete: (data) => this.#complete(data),
    assistant_regenerated: (data) => this.#complete(data),
    assistant_error: (data) => {
      this.#settle(data.content);
      this.#fail(new DabirError(data));
    },
  };

  #begin(data) {
    const started = {
      chatId: data.chat_id,
      userMessageId: data.user_message_id,
      messageId: data.message_id,
      replyId: data.reply_id,
      streamToken: data.stream_token,
      model: data.model,
      replaces: data.replaces ?? null,
    };
    this.#started.resolve(started);
    this._emit("started", started);
  }

  #complete(data) {
    this.#settle(data.content);
    const result = {
      content: data.content,
      finishReason: data.finish_reason,
      usage: data.usage,
      message: { ...data.message, content: data.content },
      chatId: data.chat_id,
      messageId: data.message_id,
      replyId: data.reply_id,
      position: data.position,
      replaces: data.replaces ?? null,
    };
    this.#end("ended", null, result);
  }

  /** What the service kept wins over what was received: an interrupted reply can have lost its end. */
  #settle(content) {
    if (typeof content !== "string" || content === this.text) return;
    this.text = content;
    this._emit("restart", content);
  }

  #fail(error) {
    this.#end("ended", error);
  }

  #end(state, error, result) {
    if (this.#isOver()) return;
    this.state = state;
    this.#failure = error;
    if (error) {
      this.#started.reject(error); // of no effect where it had started
      this.#done.reject(error);
    } else {
      this.#done.resolve(result);
    }
    if (state === "detached") this.#reading.abort();
    this.#client.leave(this);
    this._emit("end", { content: this.text, ...result, error });
    this._endEvents();
    this.#change();
  }

  #isOver() {
    return this.state === "ended" || this.state === "detached";
  }

  #change() {
    const changed = this.#changed;
    this.#changed = deferred();
    changed.resolve();
  }

  #mayTryAgain(failure) {
    if (!(failure instanceof DabirError)) return false;
    if (failure.code === "UNAUTHORIZED" && this.#lastId !== null && !this.#bare) {
      this.#bare = true;
      return true;
    }
    // Another reply of the chat can take minutes: whoever sent decides whether to wait for it.
    if (!failure.retryable || failure.code === "CHAT_BUSY") return false;
    if (failure.code === "INTERNAL" && this.#failures >= FAULTS_BELIEVED) return false;
    return this.#waited < this.#client.patience;
  }
}

const detached = () => new DabirError({ code: "DETACHED", error: "Nobody reads this reply here any more." });
const notFound = () => new DabirError({ code: "REPLY_NOT_FOUND", error: "There is no reply to follow." });
const timedOut = () =>
  new DabirError({ code: "TIMED_OUT", error: "The service did not answer in time.", retryable: true });
const changed = () => new DabirError({ code: "CLOSED", error: "Somebody else calls by now." });
const closed = () => new DabirError({ code: "CLOSED", error: "The client is closed." });

/** See the README beside this file for what it tells and can be asked. */
export class DabirClient extends Emitter {
  /** The caller's session, as the service told it last: `{principal, kind, anon_id, log_id, …}`. */
  session = null;
  /** "connecting", "online", "offline" (it is tried again), "refused" or "closed" */
  state = "closed";

  #who;
  #former = null;
  #http;
  #socket;
  #socketUrl;
  #socketOptions;
  #requestTimeout;
  #shared;
  #replies = new Set();
  #arrival = deferred();
  #position = 0;
  #pushed = 0;
  #pushedBefore = 0;
  #accountAt = 0;
  #fresh = false;
  #refusal = null;
  #retry = null;
  #refused = 0;

  /**
   * `url`: the service's origin, the page's own by default. `token` of a user, or `anonId` of a
   * visitor, or neither: then the service makes an id. `requestTimeout`: milliseconds for a request
   * over the socket, waiting for it included. `patience`: for how many milliseconds without any
   * progress a reply is tried to be reached. `silence`: after how many of it a stream, which says
   * something every 15 seconds, counts as cut.
   */
  constructor({
    url = "",
    token,
    anonId,
    fetch = (...request) => globalThis.fetch(...request),
    socketOptions,
    requestTimeout = 20_000,
    patience = 600_000,
    silence = 40_000,
  } = {}) {
    super();
    const origin = url.replace(/\/+$/, "");
    this.#who = { token, anonId };
    this.#http = new Http(origin, fetch);
    this.#socketUrl = `${origin}/chats`;
    this.#socketOptions = socketOptions;
    this.#requestTimeout = requestTimeout;
    this.#shared = {
      http: this.#http,
      patience,
      silence,
      known: (who) => this.#known(who),
      seen: (position) => this.#see(position),
      account: (usage, who) => who === this.#who && this.#account(usage),
      stop: (which, who) => this.#stop(which, who),
      leave: (reply) => this.#replies.delete(reply),
    };
  }

  /** The visitor's id: keep it, it is all that shows whose the chats are. */
  get anonId() {
    return this.#who.anonId;
  }

  // Being connected

  /** Resolves with the session, however long that takes; rejects if the service refuses. */
  connect() {
    if (this.state === "closed") {
      this.#arrival = deferred();
      this.#socket = this.#open();
      this.#setState("connecting");
      globalThis.addEventListener?.("online", this.#hurry);
      this.#socket.connect();
    }
    return this.#arrival.promise;
  }

  /** Ends the connection, all iterators, and the reading of all replies. The replies go on. */
  close() {
    for (const reply of [...this.#replies]) reply.detach();
    globalThis.removeEventListener?.("online", this.#hurry);
    clearTimeout(this.#retry);
    this.#socket?.disconnect();
    this.#setState("closed");
    this.#arrival.reject(closed());
    this._endEvents();
  }

  /**
   * Another token of the same user takes the old one's place, and nothing is missed. As another
   * user, or out of a visitor, the client connects anew. Resolves with the session.
   */
  async signIn(token) {
    if (this.state === "online" && this.session.kind === "user") {
      try {
        await this.#ask("authenticate", { token });
        this.#who.token = token;
        return this.session;
      } catch (error) {
        if (error.code !== "UNAUTHORIZED") throw error;
      }
    }
    return this.#become({ token, anonId: this.anonId });
  }

  /** A visitor again: the one before, or `anonId`, or with `null` a new one. */
  signOut(anonId = this.anonId) {
    return this.#become({ token: undefined, anonId: anonId ?? undefined });
  }

  #become(who) {
    this.#former = this.#who;
    this.#who = who;
    this.#accountAt = 0;
    if (this.state === "closed") return this.connect();
    this.#lost("connecting");
    clearTimeout(this.#retry);
    this.#socket.disconnect().connect();
    return this.#arrival.promise;
  }

  #open() {
    const socket = io(this.#socketUrl, {
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnectionDelay: FIRST_PAUSE_MS,
      reconnectionDelayMax: LONGEST_PAUSE_MS,
      forceNew: true,
      ...this.#socketOptions,
      autoConnect: false,
      auth: (give) => this.#identify(give),
    });
    socket.on("connect", () => {
      this.#fresh = true;
      this.#pushedBefore = this.#pushed;
    });
    socket.on("session", (session) => this.#welcome(session));
    socket.on("disconnect", (reason) => this.#disconnected(reason));
    socket.on("connect_error", (error) => this.#notConnected(error));
    socket.on("usage_info", (usage) => this.#account(usage));
    socket.on("server_draining", () => this._emit("draining", {}));
    socket.on("assistant_error", (told) => this.#told(told));
    for (const name of PUSHES) socket.on(name, (data) => this.#push(name, data));
    return socket;
  }

  async #identify(give) {
    const { engine } = this.#socket.io;
    // Where no id could be made, the service makes one for the session.
    const { token, anonId } = await this.#known(this.#who).catch(() => this.#who);
    // Not for a connection that has gone meanwhile: the next one would begin with who called then.
    if (engine === this.#socket.io.engine) give({ token, anon_id: anonId });
  }

  #welcome(session) {
    if (this.session && session.log_id !== this.session.log_id) {
      this.#position = this.#pushed = this.#pushedBefore = this.#accountAt = 0;
    }
    if (this.#former?.principal === session.principal) {
      // Nobody else, with another token: what is under way goes on with it.
      this.#who = Object.assign(this.#former, { token: this.#who.token });
    }
    this.#former = null;
    this.#who.principal = session.principal;
    this.session = session;
    this.#refusal = null;
    this.#refused = 0;
    this.#see(session.position);
    if (session.anon_id) this.#adopt(this.#who, session.anon_id);
    if (!this.#fresh) return; // of a new token: nothing was missed
    this.#fresh = false;
    this.#setState("online");
    this._emit("session", session);
    this.#arrival.resolve(session);
    this.#http.wake();
  }

  #disconnected(reason) {
    if (reason === "io client disconnect") return undefined;
    this.#lost("offline");
    if (reason !== "io server disconnect") return undefined; // it is tried again by the library
    if (!this.#refusal) return this.#connectLater();
    this.#setState("refused"); // and it was told why
    return this.#arrival.reject(this.#refusal);
  }

  #notConnected(error) {
    if (this.#socket.active) return this.#setState("offline"); // the network's
    const refusal = error.data?.code ? new DabirError(error.data) : unreachable(error);
    if (!refusal.retryable) return this.#refuse(refusal);
    this.#setState("offline");
    return this.#connectLater(refusal);
  }

  #connectLater(error = {}) {
    const delay = pauseAfter(this.#refused, error);
    this.#refused += 1;
    this.#retry = setTimeout(() => this.#socket.connect(), delay);
  }

  #lost(state) {
    if (this.state === "online" || this.state === "refused") this.#arrival = deferred();
    this.#setState(state);
  }

  #refuse(refusal) {
    this.#setState("refused");
    this.#arrival.reject(refusal);
    this._emit(refusal.code === "UNAUTHORIZED" ? "unauthorized" : "error", refusal);
  }

  #told({ request, ...error }) {
    if (request) return; // whoever asked has it as the answer
    const told = new DabirError(error);
    if (told.code !== "UNAUTHORIZED") return this._emit("error", told);
    this.#refusal = told;
    this._emit("unauthorized", told);
  }

  /** The network is back: no need to wait for the next attempt. */
  #hurry = () => {
    this.#http.wake();
    clearTimeout(this.#retry);
    if (this.state === "offline") this.#socket.disconnect().connect();
  };

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this._emit("state", state);
  }

  #push(name, data) {
    // What an earlier connection brought. What it did not is in the lists made since.
    if (data.position <= this.#pushedBefore) return;
    this.#pushed = Math.max(this.#pushed, data.position);
    this.#see(data.position);
    this._emit(name, data);
  }

  #account(usage) {
    this.#see(usage.position);
    if (usage.position < this.#accountAt) return; // an older one that took a longer way
    this.#accountAt = usage.position;
    this._emit("usage", usage);
  }

  #see(position) {
    if (position > this.#position) this.#position = position;
  }

  // Whose requests these are

  /** The caller, who by now has an id, since both channels must use one. */
  async #known(who) {
    if (who.token || who.anonId) return who;
    const signal = AbortSignal.timeout(this.#requestTimeout);
    who.minting ??= this.#http.ask(MINT, { signal }).then(told);
    try {
      this.#adopt(who, (await who.minting).anon_id);
    } finally {
      who.minting = undefined;
    }
    return who;
  }

  #adopt(who, anonId) {
    if (who.token || who.anonId) return;
    who.anonId = anonId;
    if (who === this.#who) this._emit("anon_id", anonId);
  }

  // Sending, and reading what comes of it

  /**
   * Sends a message, and again until it has arrived: it becomes one message. `key` names it over a
   * reload of the page; `parentId` puts it below that message, `editOf` beside that one.
   */
  send({ content, chatId, parentId, editOf, key = newKey(), ...settings }) {
    const place = { chat_id: chatId, parent_id: parentId, edit_of: editOf };
    const body = { content, ...place, ...modelSettings(settings) };
    return this.#reply({ path: STREAM, body, headers: { "idempotency-key": key } }, key);
  }

  /** Makes another version of an answer, by default of the chat's last. */
  regenerate({ chatId, messageId, key = newKey(), ...settings }) {
    const body = { chat_id: chatId, message_id: messageId, ...modelSettings(settings) };
    return this.#reply({ path: REGENERATE, body, headers: { "idempotency-key": key } }, key);
  }

  /** Reads a reply from its beginning: by its id, by its stream token, or a chat's newest one. */
  follow({ replyId, chatId, streamToken }) {
    const given = { reply_id: replyId, chat_id: chatId, stream_token: streamToken };
    const [[name, value] = []] = Object.entries(given).filter(([, value]) => value);
    if (!name) throw new TypeError("follow() needs a replyId, a chatId or a streamToken.");
    return this.#reply({ path: `${STREAM}?${name}=${encodeURIComponent(value)}`, method: "GET" });
  }

  /** Ends a reply, wherever it is read: `{replyId, stopping}`, false if it had ended before. */
  stop({ replyId, chatId, key }) {
    return this.#stop({ replyId, chatId, key }, this.#who);
  }

  #reply(opening, key) {
    const reply = new Reply(this.#shared, this.#who, opening, key);
    this.#replies.add(reply);
    return reply;
  }

  async #stop({ replyId, chatId, key }, who) {
    const body = { reply_id: replyId, chat_id: chatId, client_message_id: key };
    const ask = (signal) => this.#http.ask(STOP, { who, body, signal }).then(told);
    const { reply_id, stopping } = await this.#persist(ask);
    return { replyId: reply_id, stopping };
  }

  /** Asks again, within the time for a request, what can be asked twice and may yet succeed. */
  async #persist(ask) {
    const deadline = Date.now() + this.#requestTimeout;
    for (let failures = 0; ; failures += 1) {
      try {
        return await ask(AbortSignal.timeout(Math.max(0, deadline - Date.now())));
      } catch (error) {
        const delay = pauseAfter(failures, error);
        if (!error.retryable || Date.now() + delay > deadline) throw error;
        await this.#http.pause(delay, { forNetwork: error.code === "UNREACHABLE" });
      }
    }
  }

  // Asking over the socket

  /** Newest activity first: `{chats, total, has_more, next_cursor, position}`. */
  listChats({ limit, cursor, archived } = {}) {
    return this.#ask("list_chats", { limit, cursor, archived });
  }

  /** The end of the active branch, or of the one through `branch`, in time order. */
  listMessages(chatId, { limit, cursor, branch } = {}) {
    return this.#ask("list_messages", { chat_id: chatId, limit, cursor, branch });
  }

  /** `{results: [{chat, message, snippet}], has_more, next_cursor, position}`, newest first. */
  search(query, { limit, cursor } = {}) {
    return this.#ask("search_messages", { query, limit, cursor });
  }

  listModels() {
    return this.#ask("list_models");
  }

  usage() {
    return this.#ask("usage_info");
  }

  async createChat({ title, model } = {}) {
    return (await this.#ask("create_chat", { title, model }, { once: true })).chat;
  }

  async renameChat(chatId, title) {
    return (await this.#ask("rename_chat", { chat_id: chatId, title })).chat;
  }

  async archiveChat(chatId, archived = true) {
    return (await this.#ask("archive_chat", { chat_id: chatId, archived })).chat;
  }

  async deleteChat(chatId) {
    await this.#ask("delete_chat", { chat_id: chatId });
  }

  /** Makes the branch through that message the active one. */
  async selectBranch(chatId, messageId) {
    return (await this.#ask("select_branch", { chat_id: chatId, message_id: messageId })).chat;
  }

  /** Takes over a visitor's chats, once signed in: the ids of those that changed hands. */
  async claim(anonId = this.anonId) {
    return (await this.#ask("claim_anonymous", { anon_id: anonId })).chat_ids;
  }

  /** All chats, page by page as they are wanted. */
  async *chats({ limit = 100, archived } = {}) {
    for (let cursor, more = true; more; ) {
      const page = await this.listChats({ limit, cursor, archived });
      yield* page.chats;
      ({ next_cursor: cursor, has_more: more } = page);
    }
  }

  /** All messages of a branch, newest first. */
  async *messages(chatId, { limit = 200, branch } = {}) {
    for (let cursor, more = true; more; ) {
      const page = await this.listMessages(chatId, { limit, cursor, branch });
      yield* page.messages.reverse();
      ({ next_cursor: cursor, has_more: more } = page);
    }
  }

  /**
   * Waits for the connection and for the answer, together for the time of a request, and asks again
   * if the connection is lost meanwhile, or if the service has not caught up with what was seen.
   * `once`: not to be asked again where it is unknown whether it was done.
   */
  async #ask(name, payload = {}, { once = false } = {}) {
    const deadline = Date.now() + this.#requestTimeout;
    const who = this.#who;
    for (let failures = 0, lost = false; ; failures += 1) {
      // Without a pause where there is nothing to wait for: what holds now must hold as it is asked.
      if (this.state !== "online") await this.#online(deadline);
      if (who !== this.#who) throw changed(); // what one caller asked is not asked for another
      try {
        return await this.#answer(name, payload, deadline);
      } catch (error) {
        // Deleted by the request whose answer was lost.
        if (lost && name === "delete_chat" && error.code === "CHAT_NOT_FOUND") return {};
        lost ||= error.code === "UNREACHABLE";
        const delay = pauseAfter(failures, error);
        const mayHelp = ["UNREACHABLE", "VIEWS_BEHIND", "RATE_LIMITED"].includes(error.code);
        if (!mayHelp || (lost && once) || Date.now() + delay > deadline) throw error;
        await this.#http.pause(delay, { forNetwork: lost });
      }
    }
  }

  async #online(deadline) {
    if (this.state === "closed") throw closed();
    const late = new AbortController();
    const timeout = this.#http.pause(deadline - Date.now(), { signal: late.signal });
    const arrived = await Promise.race([this.#arrival.promise, timeout]).finally(() => late.abort());
    if (!arrived) throw unreachable();
  }

  #answer(name, payload, deadline) {
    const asked = { ...payload, min_position: this.#position || undefined };
    return new Promise((resolve, reject) => {
      this.#socket.timeout(deadline - Date.now()).emit(name, asked, (failure, answer) => {
        if (failure && Date.now() < deadline) return reject(unreachable(failure));
        if (failure) {
          this.#socket.io.engine?.close(); // every request gets an answer: nobody is there
          return reject(timedOut());
        }
        if (answer.error) return reject(new DabirError(answer.error));
        this.#see(answer.position);
        return resolve(answer);
      });
    });
  }
}

const modelSettings = ({ model, temperature, topP, maxTokens }) => ({
  model,
  temperature,
  top_p: topP,
  max_tokens: maxTokens,
});

/** `crypto.randomUUID` is for secure pages only; this is for all. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
