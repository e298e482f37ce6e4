// Asks all that can be asked over Socket.IO, and prints what is heard, and how requests are
// acknowledged: a line of JSON for each.
// Run by run_example.mjs, with TOKEN and VISITOR replaced.
const heard = (who, event) => new Promise((resolve) => who.once(event, resolve));
function joining(auth) {
  const socket = io('http://localhost:3000/chats', { auth, transports: ['websocket'] });
  socket.onAny((event, data) => console.log(JSON.stringify([event, data])));
  return socket;
}
async function send(headers, body) {
  const response = await fetch('/api/v1/messages/send', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  await response.text();
  return response.headers.get('x-chat-id');
}

const stranger = io('http://localhost:3000/chats', { auth: { token: 'broken' } });
const { data } = await heard(stranger, 'connect_error');
console.log(JSON.stringify(['acknowledged connect', data]));
stranger.close();
const visitor = joining({ anon_id: 'VISITOR' });
await heard(visitor, 'usage_info');
const ended = heard(visitor, 'message_failed');
await send({ 'x-anon-id': 'VISITOR' }, { content: '[[refuse-500]]' });
await ended;

const user = joining({ token: 'TOKEN', anon_id: 'VISITOR' });
await heard(user, 'usage_info');
async function ask(name, payload) {
  const answer = await user.emitWithAck(name, payload);
  console.log(JSON.stringify([`acknowledged ${name}`, answer]));
  return answer;
}
const chat_id = await send({ Authorization: 'Bearer TOKEN' }, { content: 'words to look for' });
const { messages } = await ask('list_messages', { chat_id });
await ask('list_chats', { archived: false });
await ask('search_messages', { query: 'words' });
await ask('usage_info');
await ask('list_models');
await ask('create_chat', {});
await ask('rename_chat', { chat_id, title: 'Another title' });
await ask('archive_chat', { chat_id, archived: true });
await ask('select_branch', { chat_id, message_id: messages[0].id });
await ask('authenticate', { token: 'TOKEN' });
await ask('no_such_request');
const given = heard(visitor, 'chat_deleted');
await ask('claim_anonymous', { anon_id: 'VISITOR' });
await given;
const gone = heard(user, 'chat_deleted');
await ask('delete_chat', { chat_id });
await gone;
user.close();
visitor.close();
