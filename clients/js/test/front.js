// What stands between a client and the service: passes all on, and breaks what it is told to break.
import { createServer, request } from "node:http";
import { connect } from "node:net";

const STREAMS = "/api/v1/messages/";

/**
 * `faults` are met by the requests for streams, one each, in order:
 * `{cut: N}`           the answer's connection ends after N bytes of the body; 0: before its head
 * `{close: N}`         the answer ends well after N bytes, but too early
 * `{freeze: N}`        nothing comes after N bytes, and nobody says so
 * `{answer: {status, headers, body}}`  this is answered, and the service never asked
 */
export class Front {
  faults = [];
  /** The requests for streams: `{method, path, headers, at}`. */
  asked = [];
  #server = createServer((asked, answer) => this.#pass(asked, answer));
  #sockets = new Set();
  #target;
  #port = 0;
  #answersLost = false;
  #mute = false;

  constructor(target) {
    this.target = target;
    this.#server.on("upgrade", (asked, socket, head) => this.#upgrade(asked, socket, head));
    this.#server.on("connection", (socket) => this.#note(socket));
  }

  set target(url) {
    this.#target = new URL(url);
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens, on the same port again after `down()`. */
  async up() {
    await new Promise((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = this.#server.address().port;
    return this;
  }

  /** Every connection ends, and there will be no other. */
  async down() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }

  /** Every connection ends. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The next thing that the service says over a socket is lost, and with it the connection. */
  loseAnswer() {
    this.#answersLost = true;
  }

  /** What the service says over sockets is lost, and nobody is told; until `mute(false)`. */
  mute(isMute = true) {
    this.#mute = isMute;
  }

  #note(socket) {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy()); // the other side has gone
  }

  #pass(asked, answer) {
    const { method, url: path, headers } = asked;
    const isStream = path.startsWith(STREAMS);
    if (isStream) this.asked.push({ method, path, headers, at: Date.now() });
    const fault = (isStream && this.faults.shift()) || {};
    if (fault.answer) {
      answer.writeHead(fault.answer.status, fault.answer.headers).end(fault.answer.body);
      return;
    }
    const passed = request({ ...this.#address, method, path, headers }, (told) => {
      if (fault.cut === 0) return answer.socket.destroy();
      answer.writeHead(told.statusCode, told.headers);
      return deliver(told, answer, fault);
    });
    passed.on("error", () => answer.socket?.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }

  #upgrade(asked, socket, head) {
    const server = connect(this.#address);
    this.#note(server);
    const lines = [`GET ${asked.url} HTTP/1.1`];
    for (let at = 0; at < asked.rawHeaders.length; at += 2) {
      lines.push(`${asked.rawHeaders[at]}: ${asked.rawHeaders[at + 1]}`);
    }
    server.write(`${lines.join("\r\n")}\r\n\r\n`);
    server.write(head);
    socket.pipe(server);
    server.on("data", (data) => {
      if (this.#mute) return undefined;
      if (!this.#answersLost) return socket.write(data);
      this.#answersLost = false;
      return socket.destroy();
    });
    server.on("close", () => socket.destroy());
    socket.on("close", () => server.destroy());
  }

  get #address() {
    return { host: this.#target.hostname, port: this.#target.port };
  }
}

function deliver(told, answer, { cut, close, freeze }) {
  told.on("close", () => told.complete || answer.socket?.destroy()); // the service has died
  const limit = cut ?? close ?? freeze;
  if (limit === undefined) return told.pipe(answer);
  let left = limit;
  const pass = (data) => {
    const passed = data.subarray(0, left);
    left -= passed.length;
    answer.write(passed, () => {
      if (left > 0) return;
      if (cut !== undefined) answer.socket?.destroy();
      if (close !== undefined) answer.end();
    });
    if (left === 0) told.off("data", pass).resume();
  };
  return told.on("data", pass);
}
