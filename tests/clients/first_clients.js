// The snippets that Dabir's first clients were written from, as they stand; only where no server
// can mend one is it mended here, and said. They speak through the globals `io`, `fetch` and
// `EventSource`, as in a page.

export function connect(io, url, log, token) {
  const socket = io(`${url}/chats`, {
    auth: {
      token: token, // Optional for anonymous users
    },
  });

  // Listen to usage info
  socket.on('usage_info', (data) => {
    log('Usage:', data);
  });

  // List chats
  socket.emit('list_chats', { page: 0, limit: 20 });
  socket.on('chats_list', (data) => {
    log('Chats:', data);
  });
  return socket;
}

export async function sendMessage(fetch, headers, chatId, model, content, handleSSEEvent) {
  const response = await fetch('/api/v1/messages/send', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      ...headers,
    },
    body: JSON.stringify({
      chat_id: chatId,
      model: model,
      content: content,
      temperature: 0.7,
    }),
  });

  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let event; // mended: it was declared inside the loop's branch, where `data` could not see it

  while (true) {
    const { done, value } = await reader.read();
    if (done) break;

    const chunk = decoder.decode(value);
    const lines = chunk.split('\n');

    for (const line of lines) {
      if (line.startsWith('event: ')) {
        event = line.slice(7);
      } else if (line.startsWith('data: ')) {
        const data = JSON.parse(line.slice(6));
        handleSSEEvent(event, data);
      }
    }
  }
}

export function sendMessageWithEventSource(fetch, EventSource, headers, body, page) {
  // Send the message first
  return fetch('/api/v1/messages/send', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(body),
  }).then((response) => {
    // Create EventSource for streaming response
    const eventSource = new EventSource(page.streamUrl(response), {});

    eventSource.addEventListener('assistant_delta', (event) => {
      const data = JSON.parse(event.data);
      page.appendDeltaToUI(data.delta);
    });

    eventSource.addEventListener('assistant_complete', (event) => {
      const data = JSON.parse(event.data);
      page.finalizeMessage(data);
      eventSource.close();
    });

    eventSource.addEventListener('assistant_error', (event) => {
      const data = JSON.parse(event.data);
      page.showError(data.error);
      eventSource.close();
    });
  });
}
