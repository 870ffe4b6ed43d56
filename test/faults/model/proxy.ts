/** A way to a nats-server that can be disturbed. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * - `open`: bytes pass in both directions.
 * - `stalled`: nothing is read from either side; all of it passes later.
 * - `dropping`: bytes are read and lost, and new connections hear nothing. All connections are broken in the end, since
 *   their streams have gaps.
 * - `cut`: all connections are broken, and new ones too.
 */
type ProxyState = "open" | "stalled" | "dropping" | "cut";

export class NatsProxy implements AsyncDisposable {
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  readonly #listener = createServer((socket) => this.#accept(socket));
  #state: ProxyState = "open";

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

  /** Changes how bytes pass. */
  set(state: ProxyState): void {
    const isBroken = state === "cut" || this.#state === "dropping";
    this.#state = state;
    for (const socket of this.#sockets) {
      if (isBroken) socket.destroy();
      else if (state === "stalled") socket.pause();
      else socket.resume();
    }
  }

  #accept(client: Socket): void {
    if (this.#state === "cut") {
      client.destroy();
      return;
    }
    const server = connect(this.#port, "127.0.0.1");
    this.#forward(client, server);
    this.#forward(server, client);
  }

  #forward(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("error", () => undefined);
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    from.on("data", (bytes) => {
      // Unread bytes stay in the kernel, as with a slow reader.
      if (this.#state !== "dropping" && !to.write(bytes)) from.pause();
    });
    to.on("drain", () => {
      if (this.#state !== "stalled") from.resume();
    });
    if (this.#state === "stalled") from.pause();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.set("cut");
    this.#listener.close();
    await once(this.#listener, "close");
  }
}
