// Runs one client against a server and prints what it saw, a line of JSON for each thing.
//   node run.mjs SCENARIO URL TOKEN [ARGUMENT]
import { EventSource } from 'eventsource';
import { createParser } from 'eventsource-parser';
import { io } from 'socket.io-client';
import { connect, sendMessage, sendMessageWithEventSource } from './first_clients.js';

const [scenario, url, token, argument] = process.argv.slice(2);
const headers = token.startsWith('anon:')
  ? { 'x-anon-id': token.slice(5) }
  : { Authorization: `Bearer ${token}` };
const auth = token.startsWith('anon:') ? { anon_id: token.slice(5) } : { token };

function told(name, data) {
  console.log(JSON.stringify([name, data]));
}

// A page's relative addresses, outside a page.
function fetchInPage(path, options) {
  return fetch(new URL(path, url), options);
}

function connected() {
  return io(`${url}/chats`, { auth, transports: [argument === 'polling' ? 'polling' : 'websocket'] });
}

const scenarios = {
  async snippet_connect() {
    await new Promise((resolve) => {
      const seen = new Set();
      const socket = connect(
        io,
        url,
        (what, data) => {
          told(what, data);
          if (seen.add(what).size === 2) resolve(socket.close());
        },
        token,
      );
    });
  },

  async snippet_send() {
    await sendMessage(fetchInPage, headers, undefined, undefined, argument, told);
  },

  async snippet_event_source() {
    await new Promise((resolve) => {
      sendMessageWithEventSource(fetchInPage, EventSource, headers, { content: argument }, {
        streamUrl: (response) =>
          `${url}/api/v1/messages/send?stream_token=${response.headers.get('x-stream-token')}`,
        appendDeltaToUI: (delta) => told('delta', delta),
        finalizeMessage: (data) => resolve(told('complete', data)),
        showError: (error) => resolve(told('error', error)),
      });
    });
  },

  async snippet_test_sse() {
    await new Promise((resolve) => {
      const eventSource = new EventSource(new URL('/api/v1/messages/test-sse', url));

      eventSource.addEventListener('test_message', (event) => {
        const data = JSON.parse(event.data);
        told(`Test ${data.counter}`, data.message);
      });

      eventSource.addEventListener('test_complete', (event) => {
        const data = JSON.parse(event.data);
        told('Test completed', data.message);
        eventSource.close();
        resolve();
      });
    });
  },

  async parser() {
    const response = await fetchInPage('/api/v1/messages/send', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify({ content: argument }),
    });
    const parser = createParser({
      onEvent: ({ id, event, data }) => told(event, { id, ...JSON.parse(data) }),
      onError: (error) => told('parse error', String(error)),
    });
    const decoder = new TextDecoder();
    for await (const chunk of response.body) parser.feed(decoder.decode(chunk, { stream: true }));
  },

  // A chat over both channels: what one socket is pushed while another sends.
  async both_channels() {
    const socket = connected();
    socket.onAny((event, data) => told(event, data));
    await new Promise((resolve) => socket.once('usage_info', resolve));
    const completed = new Promise((resolve) => socket.once('message_completed', resolve));
    const answer = await fetchInPage('/api/v1/messages/send', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify({ content: argument, max_tokens: 24 }),
    });
    await answer.text();
    await completed;
    const list = await socket.emitWithAck('list_chats', {});
    told('ack', list);
    const messages = await socket.emitWithAck('list_messages', { chat_id: list.chats[0].id });
    told('ack', messages);
    socket.close();
  },

  // A user takes over the chats of an anonymous id: the token is "TOKEN ANON_ID".
  async claim() {
    const [user, anonId] = token.split(' ');
    const socket = io(`${url}/chats`, { auth: { token: user, anon_id: anonId } });
    await new Promise((resolve) => socket.once('usage_info', resolve));
    const claimed = await socket.emitWithAck('claim_anonymous', { anon_id: anonId });
    told('ack', claimed.chat_ids);
    socket.close();
  },

  // A refusal over SSE is told on the socket too.
  async refused_send() {
    const socket = connected();
    await new Promise((resolve) => socket.once('usage_info', resolve));
    const refused = new Promise((resolve) => socket.once('assistant_error', resolve));
    const body = JSON.stringify({ content: argument, model: 'paid' });
    const options = { method: 'POST', headers: { ...headers, accept: 'application/json' }, body };
    const response = await fetchInPage('/api/v1/messages/send', options);
    told('answer', await response.json());
    told('assistant_error', await refused);
    socket.close();
  },

  async refused() {
    const socket = connected();
    socket.on('connect_error', (error) => {
      told('connect_error', error.data);
      socket.close();
    });
    await new Promise((resolve) => socket.io.engine.once('close', resolve));
  },
};

await scenarios[scenario]();
