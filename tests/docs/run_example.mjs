// Runs an example of a page, read from stdin, as a browser with a page of URL would: addresses may
// be relative, and cookies are kept. With `cut`, the first connection is lost after its first bytes.
//   node run_example.mjs URL [cut] < EXAMPLE
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const require = createRequire(new URL('../clients/package.json', import.meta.url));
const { EventSource: NodeEventSource } = require('eventsource');
const { io } = require('socket.io-client');

const [url, cut] = process.argv.slice(2);
const nodeFetch = globalThis.fetch;
let cookie = '';
let toCut = cut === 'cut';

function cutAfterFirstBytes(response) {
  toCut = false;
  const reader = response.body.getReader();
  const { ok, status, headers } = response;
  let pulled = 0;
  const body = new ReadableStream({
    async pull(controller) {
      if (pulled++) {
        await reader.cancel();
        throw new TypeError('the network is gone');
      }
      controller.enqueue((await reader.read()).value);
    },
  });
  return { ok, status, headers, body };
}

globalThis.fetch = async (path, options = {}) => {
  const headers = new Headers(options.headers);
  if (cookie) headers.set('cookie', cookie);
  const response = await nodeFetch(new URL(path, url), { ...options, headers });
  for (const each of response.headers.getSetCookie()) cookie = each.split(';')[0];
  return toCut ? cutAfterFirstBytes(response) : response;
};
globalThis.EventSource = class extends NodeEventSource {
  constructor(path) {
    super(new URL(path, url), { fetch: globalThis.fetch });
  }
};
globalThis.io = io;

const AsyncFunction = (async () => {}).constructor;
await new AsyncFunction(await text(process.stdin))();
