/** A way to a nats-server on which the server seems to tell of one more server, which is a trap. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** The way, and what was caught. */
export class GossipProxy implements AsyncDisposable {
  /** Bytes that clients have sent to the trap. */
  caught = "";
  readonly #sockets = new Set<Socket>();
  readonly #trap = createServer((socket) => {
    this.#keep(socket);
    socket.on("data", (data) => {
      this.caught += data.toString();
      socket.destroy();
    });
    socket.write(
      'INFO {"server_id":"T","version":"2.10.0","headers":true,"max_payload":1048576,"nonce":"abc"}\r\n',
    );
  });
  readonly #way = createServer((socket) => {
    this.#keep(socket);
    const server = connect(this.#port, "127.0.0.1");
    this.#keep(server);
    const told = `"connect_urls":["127.0.0.1:${portOf(this.#trap)}"],`;
    let isMeant = false;
    socket.on("data", (data) => {
      isMeant ||= data.includes(this.#name);
    });
    // The server tells of itself again when a client has said who it is.
    server.on("data", (data) => {
      const text = data.toString("latin1");
      socket.write(isMeant ? text.replaceAll('INFO {"', `INFO {${told}"`) : text, "latin1");
    });
    socket.pipe(server);
    for (const [one, other] of [[socket, server] as const, [server, socket] as const]) {
      one.on("close", () => other.destroy());
    }
  });
  readonly #port: number;
  readonly #name: string;

  /** @param name What is in the greeting of the clients that are to be led astray. */
  constructor(port: number, name: string) {
    this.#port = port;
    this.#name = name;
  }

  async start(): Promise<this> {
    for (const server of [this.#trap, this.#way]) await once(server.listen(0, "127.0.0.1"), "listening");
    return this;
  }

  get url(): string {
    return `nats://127.0.0.1:${portOf(this.#way)}`;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }

  /** Breaks all connections; new ones can be made. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#trap, this.#way]) server.close();
    this.cut();
    return Promise.resolve();
  }
}

function portOf(server: ReturnType<typeof createServer>): number {
  return (server.address() as AddressInfo).port;
}
