/** The service as an operator sees it: `/api/v1/admin/`, with the token of whoever signed in. */

const ROUTES = "/api/v1/admin/";
const KEPT_AS = "dabir.console.token";

/** Anything but the answer that was asked for. `status` is 0 where the server was not reached. */
export class Refused extends Error {
  constructor(status, code, sentence) {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

/** Who looks: a token, kept by the browser until the tab is closed. */
export const session = {
  /** @type {string | null} */
  token: sessionStorage.getItem(KEPT_AS),
  /** Called when the token is no longer taken. */
  onEnd: () => {},
};

/** Raises Refused where the token is not one of an operator; it is kept only if it is. */
export async function signIn(token) {
  const overview = await fetched("overview", { token });
  session.token = token;
  sessionStorage.setItem(KEPT_AS, token);
  return overview;
}

export function signOut() {
  session.token = null;
  sessionStorage.removeItem(KEPT_AS);
}

/** @param {AbortSignal} [signal] */
export function read(path, signal) {
  return asOperator(path, { signal });
}

export function post(path, body) {
  return asOperator(path, { method: "POST", body });
}

export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

async function asOperator(path, options) {
  try {
    return await fetched(path, { token: session.token, ...options });
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      signOut();
      session.onEnd(error);
    }
    throw error;
  }
}

async function fetched(path, { token, method = "GET", body, signal }) {
  const headers = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const request = { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" };
  const answer = await fetch(ROUTES + path, request).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "UNREACHABLE", "The server cannot be reached.");
  });
  // A proxy between may answer with a page of its own.
  const told = await answer.json().catch(() => null);
  if (answer.ok && told !== null) return told;
  const sentence = told?.error ?? `The server answered with ${answer.status}.`;
  throw new Refused(answer.status, told?.code ?? "INTERNAL", sentence);
}
