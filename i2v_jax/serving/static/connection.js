// The WebSocket /v1/stream: one request at a time, its frames as they arrive. Reconnects when the connection is lost.

const RETRY_MS = 1000;

export class Connection {
  // Handlers: open(), lost(), frame(id, sample, blob) in the order of the frames, ended(id), failed(id, message).
  constructor(handlers) {
    this.handlers = handlers;
    this.id = 0;
    this.socket = null;
  }

  connect() {
    const address = new URL("v1/stream", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.handlers.open();
    this.socket.onmessage = ({ data }) => this.received(data);
    this.socket.onclose = () => {
      this.handlers.lost();
      setTimeout(() => this.connect(), RETRY_MS);
    };
  }

  // Returns the id of the request, 0 if there is no connection.
  send(parameters) {
    if (this.socket?.readyState !== WebSocket.OPEN) return 0;
    this.id += 1;
    this.socket.send(JSON.stringify({ id: this.id, ...parameters }));
    return this.id;
  }

  // Tells the server that the answer to the last request is no longer needed.
  cancel() {
    this.send({ cancel: true });
  }

  received(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "end") this.handlers.ended(message.id);
      if (message.type === "error") this.handlers.failed(message.id, message.error);
      return;
    }
    const [id, sample] = [0, 4].map((offset) => new DataView(data).getUint32(offset, true));
    this.handlers.frame(id, sample, new Blob([data.slice(12)], { type: "image/png" }));
  }
}
