// What a test's page keeps of a stream, beside the snippets of `first_clients.js`. In a page only.

const NAMES = ['assistant_typing', 'assistant_delta', 'assistant_complete', 'assistant_error', 'usage_info'];

// Opens an EventSource that nobody ever closes, and notes all that it hears.
function watch(url) {
  const seen = { text: '', names: [], data: {}, opened: 0, closed: false, lastId: '' };
  const source = new EventSource(url);
  source.onopen = () => (seen.opened += 1);
  source.onerror = () => (seen.closed = source.readyState === EventSource.CLOSED);
  for (const name of NAMES) {
    source.addEventListener(name, (event) => {
      const data = JSON.parse(event.data);
      seen.lastId = event.lastEventId;
      if (name === 'assistant_delta') return (seen.text += data.delta);
      seen.names.push(name);
      return (seen.data[name] = data);
    });
  }
  return seen;
}

// The third snippet, filling in what it leaves to the page.
function snippet(headers, body, byToken) {
  const seen = { text: '', completed: null, error: null };
  sendMessageWithEventSource(fetch, EventSource, headers, body, {
    streamUrl: (response) =>
      byToken
        ? `/api/v1/messages/send?stream_token=${response.headers.get('x-stream-token')}`
        : '/api/v1/messages/send',
    appendDeltaToUI: (delta) => (seen.text += delta),
    finalizeMessage: (data) => (seen.completed = data),
    showError: (error) => (seen.error = error),
  });
  return seen;
}

// A POST that nobody reads; its headers are all that is wanted of it.
async function post(headers, body) {
  const response = await fetch('/api/v1/messages/send', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  return response.headers.get('x-stream-token');
}

Object.assign(window, { watch, snippet, post });
