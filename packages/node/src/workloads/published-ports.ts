/** Ports of a workload's machine that are reachable on the node's host. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { Published, PublishedPort } from "@nexengine/protocol/messages";

/** Length of the accept queue of a port. */
const backlogMax = 128;

export class PublishedPorts implements AsyncDisposable {
  readonly #servers: Server[] = [];
  readonly #list: Published[] = [];

  /**
   * Listens on every port.
   *
   * @param host The address to listen on.
   * @param carry Gets each connection, and the index of its port.
   * @throws NexError `port_taken`; nothing listens then.
   */
  static async open(
    ports: readonly PublishedPort[],
    host: string,
    carry: (socket: Socket, port: number) => void,
  ): Promise<PublishedPorts> {
    const published = new PublishedPorts();
    try {
      for (const [at, port] of ports.entries()) {
        await published.#listen(port, host, (socket) => carry(socket, at));
      }
      return published;
    } catch (error) {
      await published[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The address of each port on the host. */
  get list(): readonly Published[] {
    return this.#list;
  }

  async #listen(
    { machine_port, host_port = 0 }: PublishedPort,
    host: string,
    carry: (socket: Socket) => void,
  ): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, carry);
    server.listen({ host, port: host_port, backlog: backlogMax });
    try {
      await once(server, "listening");
    } catch (cause) {
      throw new NexError(
        "port_taken",
        `Cannot publish port ${machine_port} as ${host}:${host_port}: ${errorText(cause)}`,
        { cause },
      );
    }
    // The client tries again when the host could not accept its connection.
    server.on("error", () => undefined);
    this.#servers.push(server);
    const { port } = server.address() as AddressInfo;
    this.#list.push({ machine_port, host, host_port: port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers.splice(0)) {
      server.close();
      // The connections end with their machine.
      await once(server, "close");
    }
  }
}
