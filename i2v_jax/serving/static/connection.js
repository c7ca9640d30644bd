// The WebSocket /v1/stream: one wish at a time, its frames as they come. Connects again when it is lost.

const RETRY_MS = 1000;

export class Connection {
  // Handlers: open(), lost(), frame(id, sample, blob) in the order of the frames, ended(id), failed(id, words).
  constructor(handlers) {
    this.handlers = handlers;
    this.id = 0;
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/v1/stream`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.handlers.open();
    this.socket.onmessage = ({ data }) => this.received(data);
    this.socket.onclose = () => {
      this.handlers.lost();
      setTimeout(() => this.connect(), RETRY_MS);
    };
  }

  // Returns the id of the wish, 0 when there is no connection.
  send(wish) {
    if (this.socket.readyState !== WebSocket.OPEN) return 0;
    this.id += 1;
    this.socket.send(JSON.stringify({ id: this.id, ...wish }));
    return this.id;
  }

  // Nobody waits for the answer to the last wish any more.
  cancel() {
    this.send({ cancel: true });
  }

  received(data) {
    if (typeof data === "string") {
      const told = JSON.parse(data);
      if (told.type === "end") this.handlers.ended(told.id);
      if (told.type === "error") this.handlers.failed(told.id, told.error);
      return;
    }
    const [id, sample] = [0, 4].map((offset) => new DataView(data).getUint32(offset, true));
    this.handlers.frame(id, sample, new Blob([data.slice(12)], { type: "image/png" }));
  }
}
