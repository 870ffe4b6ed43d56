/** A way to a nats-server on which certain bytes of the client set something off. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A text that the client sends and that sets it off, and whether the server still gets the bytes with it. */
export interface Wire {
  text: string;
  passes: boolean;
  /** Called once. Nothing more passes on that connection. */
  act(): void;
}

export class Tripwire implements AsyncDisposable {
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  readonly #listener = createServer((socket) => this.#accept(socket));
  #wire: Wire | undefined;

  /** @param port The server's port on the loopback. */
  constructor(port: number) {
    this.#port = port;
  }

  async start(): Promise<this> {
    await once(this.#listener.listen(0, "127.0.0.1"), "listening");
    return this;
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  /** Sets the wire; `undefined` takes it away. */
  set(wire: Wire | undefined): void {
    this.#wire = wire;
  }

  #accept(client: Socket): void {
    const server = connect(this.#port, "127.0.0.1");
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
    }
    server.pipe(client);
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
    let tail = "";
    let isTripped = false;
    client.on("data", (bytes) => {
      if (isTripped) return;
      const wire = this.#wire;
      const seen = tail + bytes.toString("latin1");
      // A text may lie on the border of two chunks.
      tail = seen.slice(-64);
      if (wire !== undefined && seen.includes(wire.text)) {
        this.#wire = undefined;
        isTripped = true;
        if (wire.passes) server.write(bytes, () => wire.act());
        else wire.act();
        return;
      }
      server.write(bytes);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
    await once(this.#listener, "close");
  }
}
