// Shapes of the service are passed on as it sends them, in snake_case; they are described in its
// protocol. What this client itself makes is in camelCase.

/** A number with at most nine decimal places, written out. */
export type Money = string;
/** RFC 3339, in UTC. */
export type Time = string;

export interface Session {
  /** `user:SUB` or `anon:ID` */
  principal: string;
  kind: "user" | "anonymous";
  anon_id?: string;
  server_time: Time;
  /** Names the service's log. If it is another than before, throw away all lists. */
  log_id: string;
  position: number;
}

export interface Chat {
  id: string;
  title: string | null;
  model: string | null;
  archived: boolean;
  created_at: Time;
  updated_at: Time;
  message_count: number;
  last_message: { role: Role; preview: string } | null;
  active_reply_id: string | null;
}

export type Role = "user" | "assistant";
export type MessageStatus = "complete" | "streaming" | "stopped" | "failed" | "interrupted";

export interface Message {
  id: string;
  chat_id: string;
  parent_id: string | null;
  role: Role;
  /** Empty while `status` is `streaming`. */
  content: string;
  status: MessageStatus;
  model: string | null;
  created_at: Time;
  completed_at: Time | null;
  version: number;
  /** Ids of all siblings of its role in time order, itself included. */
  versions: string[];
  usage: MessageUsage | null;
  finish_reason: string | null;
  error: string | null;
}

export interface MessageUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  cost: Money;
  currency: string;
  estimated: boolean;
  price_source: string;
}

export interface VisitorUsage {
  kind: "anonymous";
  limit: number;
  used: number;
  remaining: number;
  resets_at: Time | null;
  position: number;
}

export interface UserUsage {
  kind: "user";
  balance: Money;
  reserved: Money;
  available: Money;
  spent: Money;
  currency: string;
  messages: number;
  position: number;
}

export type Usage = VisitorUsage | UserUsage;

export interface Model {
  id: string;
  name: string;
  context_window: number;
  input_price_per_million: Money;
  output_price_per_million: Money;
}

interface Page {
  has_more: boolean;
  next_cursor: string | null;
  position: number;
}

export interface ChatsPage extends Page {
  chats: Chat[];
  page: number;
  limit: number;
  total: number;
}

export interface MessagesPage extends Page {
  chat_id: string;
  messages: Message[];
  page: number;
  limit: number;
  total: number;
}

export interface SearchPage extends Page {
  results: { chat: Chat; message: Message; snippet: string }[];
}

export interface Models {
  models: Model[];
  /** The id of the one that is used where none is named. */
  default: string;
}

/** Codes of the service, and the client's own: what the service adds later is a string, too. */
export type ErrorCode =
  | "ANON_LIMIT_REACHED"
  | "CHAT_BUSY"
  | "CHAT_NOT_FOUND"
  | "CONTENT_FILTERED"
  | "CONTENT_TOO_LARGE"
  | "CONTEXT_TOO_LONG"
  | "FORBIDDEN"
  | "IDEMPOTENCY_KEY_REUSED"
  | "INSUFFICIENT_BALANCE"
  | "INTERNAL"
  | "INTERRUPTED"
  | "MESSAGE_NOT_FOUND"
  | "MODEL_NOT_FOUND"
  | "PROVIDER_ERROR"
  | "PROVIDER_RATE_LIMITED"
  | "PROVIDER_TIMEOUT"
  | "RATE_LIMITED"
  | "REPLY_NOT_FOUND"
  | "SERVER_DRAINING"
  | "UNAUTHORIZED"
  | "VALIDATION_ERROR"
  | "VIEWS_BEHIND"
  | "UNREACHABLE"
  | "TIMED_OUT"
  | "CLOSED"
  | "DETACHED"
  | (string & {});

export class DabirError extends Error {
  constructor(
    told: { code: ErrorCode; error: string; retryable?: boolean; details?: Record<string, unknown> },
    beside?: { status?: number; retryAfter?: number; cause?: unknown },
  );
  readonly code: ErrorCode;
  /** Whether the same request may succeed later as it is. */
  readonly retryable: boolean;
  readonly details: Record<string, any>;
  /** The HTTP status of a refusal; undefined for what was told in a stream or on the socket. */
  readonly status?: number;
  /** Seconds to wait before asking again, where the service said so. */
  readonly retryAfter?: number;
}

/** What can be listened to, by name, and what is told then. */
export interface Emitter<Events> {
  /** Calls `listener` at each such event, until the function that is returned is called. */
  on<Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void): () => void;
  /** Iterates over what is told from now on; nothing is lost to a slow reader. */
  events<Name extends keyof Events>(name: Name): AsyncIterableIterator<Events[Name]>;
  events(): AsyncIterableIterator<
    { [Name in keyof Events]: { name: Name; data: Events[Name] } }[keyof Events]
  >;
}

export interface ReplyStarted {
  chatId: string;
  userMessageId: string;
  messageId: string;
  replyId: string;
  /** Opens this reply, and nothing else, to whoever has it. */
  streamToken: string;
  model: string;
  /** The message that this one is another version of, of a regeneration. */
  replaces: string | null;
}

export interface ReplyResult {
  content: string;
  /** "stopped" if somebody stopped it */
  finishReason: string;
  usage: MessageUsage | null;
  message: Message;
  chatId: string;
  messageId: string;
  replyId: string;
  position: number;
  replaces: string | null;
}

export interface ReplyEvents {
  started: ReplyStarted;
  delta: string;
  reasoning: string;
  /** The text was replaced: all of it. What an interrupted reply lost at its end is gone. */
  restart: string;
  /** The connection is gone, and will be tried again after `delay` milliseconds. */
  waiting: { error: DabirError; delay: number };
  end: { content: string; error: DabirError | null } & Partial<Omit<ReplyResult, "content">>;
}

export type ReplyState = "sending" | "streaming" | "waiting" | "ended" | "detached";

export interface Reply extends Emitter<ReplyEvents>, AsyncIterable<string> {
  readonly text: string;
  readonly reasoning: string;
  readonly state: ReplyState;
  /** Under which the message may be sent again without becoming a second one; none of a followed reply. */
  readonly key?: string;
  readonly started: Promise<ReplyStarted>;
  /** Rejects with the DabirError that the reply ended in. */
  readonly done: Promise<ReplyResult>;
  /** Ends the reply itself, for everybody; what came until then is kept. */
  stop(): Promise<Stopping>;
  /** Stops reading. The reply goes on, and may be followed again. */
  detach(): void;
}

/** `stopping` is false if the reply had ended before. */
export interface Stopping {
  replyId: string;
  stopping: boolean;
}

export type ClientState = "connecting" | "online" | "offline" | "refused" | "closed";

export interface ClientEvents {
  state: ClientState;
  /** A connection is there. What happened since the last one was not told: list again. */
  session: Session;
  /** The service has made an id for this visitor: keep it. */
  anon_id: string;
  usage: Usage;
  chat_created: { chat: Chat; position: number };
  chat_updated: { chat: Chat; position: number };
  chat_deleted: { chat_id: string; position: number };
  message_created: { message: Message; position: number };
  reply_started: {
    chat_id: string;
    reply_id: string;
    message_id: string;
    kind: "send" | "regenerate";
    position: number;
  };
  message_completed: { message: Message; position: number };
  message_failed: { message: Message; code: ErrorCode; error: string; position: number };
  /** This server is going down; the client will connect again. */
  draining: Record<string, never>;
  /** The token is not accepted (any more): `signIn` with another, soon. */
  unauthorized: DabirError;
  /** A limit or the balance refused a send elsewhere, or the service refused the connection. */
  error: DabirError;
}

export interface ClientOptions {
  /** The service's origin; the page's own by default. */
  url?: string;
  token?: string;
  anonId?: string;
  fetch?: typeof globalThis.fetch;
  /** For socket.io-client, over what this client chooses. */
  socketOptions?: Record<string, unknown>;
  /** Milliseconds for a request, waiting for the connection included: 20 000. */
  requestTimeout?: number;
  /** For how many milliseconds without progress a reply is tried to be reached: 600 000. */
  patience?: number;
  /** After how many milliseconds of silence a stream counts as cut; the service speaks every 15 s: 40 000. */
  silence?: number;
}

export interface ModelSettings {
  model?: string | null;
  temperature?: number | null;
  topP?: number | null;
  maxTokens?: number | null;
}

export interface SendOptions extends ModelSettings {
  content: string;
  /** Without it a chat is begun. */
  chatId?: string | null;
  /** The message to answer to, in place of the active branch's last. */
  parentId?: string | null;
  /** The message of the user that this one is another version of. */
  editOf?: string | null;
  key?: string;
}

export interface RegenerateOptions extends ModelSettings {
  chatId: string;
  messageId?: string | null;
  key?: string;
}

export class DabirClient {
  constructor(options?: ClientOptions);
  readonly state: ClientState;
  readonly session: Session | null;
  readonly anonId: string | undefined;

  on: Emitter<ClientEvents>["on"];
  events: Emitter<ClientEvents>["events"];

  /** Resolves with the session, however long that takes; rejects if the service refuses. */
  connect(): Promise<Session>;
  /** Ends the connection, all iterators, and the reading of all replies. The replies go on. */
  close(): void;
  /** Calls as this user from now on, or goes on with a new token of the same one. */
  signIn(token: string): Promise<Session>;
  /** Calls as a visitor: the one before, or `anonId`, or with null a new one. */
  signOut(anonId?: string | null): Promise<Session>;

  send(options: SendOptions): Reply;
  regenerate(options: RegenerateOptions): Reply;
  follow(which: { replyId?: string; chatId?: string; streamToken?: string }): Reply;
  stop(which: { replyId?: string; chatId?: string; key?: string }): Promise<Stopping>;

  listChats(options?: { limit?: number; cursor?: string | null; archived?: boolean }): Promise<ChatsPage>;
  listMessages(
    chatId: string,
    options?: { limit?: number; cursor?: string | null; branch?: string | null },
  ): Promise<MessagesPage>;
  search(query: string, options?: { limit?: number; cursor?: string | null }): Promise<SearchPage>;
  listModels(): Promise<Models>;
  usage(): Promise<Usage>;

  createChat(options?: { title?: string | null; model?: string | null }): Promise<Chat>;
  renameChat(chatId: string, title: string): Promise<Chat>;
  archiveChat(chatId: string, archived?: boolean): Promise<Chat>;
  deleteChat(chatId: string): Promise<void>;
  selectBranch(chatId: string, messageId: string): Promise<Chat>;
  /** The ids of the chats that changed hands. */
  claim(anonId?: string): Promise<string[]>;

  /** All chats, newest activity first. */
  chats(options?: { limit?: number; archived?: boolean }): AsyncGenerator<Chat, void>;
  /** All messages of a branch, newest first. */
  messages(
    chatId: string,
    options?: { limit?: number; branch?: string | null },
  ): AsyncGenerator<Message, void>;
}
