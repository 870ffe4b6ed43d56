/** The places in a machine that stand for servers outside: what connects there is carried to the node. */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { RelayListen } from "@nexengine/protocol/agent";
import { errorText } from "@nexengine/protocol/errors";

/** Takes a connection that a listener has accepted. */
export type Carry = (socket: Socket, target: number) => void;

/**
 * Listens at every place.
 *
 * @returns what could not be listened at, for people.
 */
export async function listenForRelay(places: readonly RelayListen[], carry: Carry): Promise<string[]> {
  const failures = places.map(async ({ address, port, target }) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => carry(socket, target));
    try {
      await listening(server, address, port);
      return [];
    } catch (error) {
      return [`Nothing can be relayed from ${address}:${port}: ${errorText(error)}`];
    }
  });
  return (await Promise.all(failures)).flat();
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  server.listen({ host, port });
  await once(server, "listening");
  // An agent lives as long as its channel, and a connection that can't be taken is one that its client makes again.
  server.on("error", () => undefined).unref();
}
