// A client that comes back for the rest of its reply until the server says that nothing is left.
//   node resume.mjs event_source|parser URL TOKEN CONTENT
// Prints one line of JSON: the text as it came, the events' names but for deltas, the last status.
import { EventSource } from 'eventsource';
import { createParser } from 'eventsource-parser';

const [client, url, token, content] = process.argv.slice(2);
const stream = `${url}/api/v1/messages/send`;
const seen = { text: '', names: [], content: null, status: null, lastId: '' };

function note(name, id, json) {
  const data = JSON.parse(json);
  seen.lastId = id;
  if (name === 'assistant_delta') seen.text += data.delta;
  else seen.names.push(name);
  if (name === 'assistant_complete') seen.content = data.content;
}

function send() {
  return fetch(stream, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify({ content }),
  });
}

const clients = {
  // It reconnects by itself; nothing here ever closes it.
  async event_source() {
    const streamToken = (await send()).headers.get('x-stream-token');
    await new Promise((resolve) => {
      const source = new EventSource(`${stream}?stream_token=${streamToken}`);
      for (const name of ['assistant_typing', 'assistant_delta', 'assistant_complete', 'usage_info'])
        source.addEventListener(name, (event) => note(name, event.lastEventId, event.data));
      source.onerror = (error) => {
        if (source.readyState !== EventSource.CLOSED) return;
        seen.status = error.code;
        resolve();
      };
    });
  },

  async parser() {
    let response = await send();
    while (response?.status !== 204) {
      if (response) await read(response);
      const headers = seen.lastId
        ? { 'Last-Event-ID': seen.lastId }
        : { Authorization: `Bearer ${token}` };
      response = await fetch(stream, { headers }).catch(() => null);
    }
    seen.status = response.status;
  },
};

async function read(response) {
  const parser = createParser({ onEvent: ({ id, event, data }) => note(event, id, data) });
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body) parser.feed(decoder.decode(chunk, { stream: true }));
  } catch (error) {
    if (error.message !== 'terminated') throw error; // cut off: what came so far is noted
  }
}

await clients[client]();
console.log(JSON.stringify(seen));
process.exit(0); // the POST that nobody reads would keep the process
