// The browsers' own Socket.IO client in the namespace; prints what it saw, one line of JSON each.
//   node namespace.mjs SCENARIO URL AUTH
import { io } from 'socket.io-client';

const [scenario, url, auth] = process.argv.slice(2);
const told = (...what) => console.log(JSON.stringify(what));

function connect(options = {}) {
  const socket = io(`${url}/chats`, {
    auth: JSON.parse(auth),
    reconnectionDelay: 50,
    reconnectionDelayMax: 100,
    ...options,
  });
  socket.onAny((event, data) => told(event, data));
  socket.on('connect_error', (error) => told('connect_error', error.message, error.data));
  socket.on('disconnect', (reason) => told('disconnect', reason));
  return socket;
}

const heard = (socket, event) => new Promise((resolve) => socket.once(event, resolve));

const scenarios = {
  async requests() {
    const socket = connect();
    await heard(socket, 'usage_info');
    const pushed = heard(socket, 'chat_created');
    const { chat } = await socket.timeout(5000).emitWithAck('create_chat', { title: 'سلام' });
    await pushed;
    told('ack', await socket.timeout(5000).emitWithAck('list_chats', { page: 0, limit: 20 }));
    told('ack', await socket.timeout(5000).emitWithAck('list_chats'));
    told('ack', await socket.timeout(5000).emitWithAck('list_chats', new Uint8Array([1, 2])));
    told('ack', await socket.timeout(5000).emitWithAck('unheard_of', {}));
    told('ack', await socket.timeout(5000).emitWithAck('list_chats', { query: '\ud800' }));
    const deleted = heard(socket, 'chat_deleted');
    socket.emit('delete_chat', { chat_id: chat.id });
    await deleted;
    socket.close();
  },

  async refused() {
    const socket = connect();
    await heard(socket, 'connect_error');
    told('active', socket.active);
    socket.close();
  },

  // Stays until the server has closed the connection, and until it is back.
  async reconnects() {
    const socket = connect({ transports: [process.argv[5]] });
    await heard(socket, 'usage_info');
    await heard(socket, 'disconnect');
    await heard(socket, 'session');
    socket.close();
  },

  async expires() {
    const socket = connect();
    await heard(socket, 'disconnect');
    told('active', socket.active);
    socket.close();
  },
};

await scenarios[scenario]();
