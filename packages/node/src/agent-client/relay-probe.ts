/** A relayed connection that carries nothing: it tells whether somebody accepts connections at a port of a machine. */
import { Duplex } from "node:stream";
import type { Relay } from "@nexengine/protocol/agent";

/** Time for the other end to close a connection that was accepted. Then it is reset. */
const closeTimeoutMs = 1_000;

/** This end of the connection. It discards everything that it gets. */
class ProbeSocket extends Duplex {
  override _read(): void {
    // There is nothing to send.
  }

  override _write(_bytes: Buffer, _encoding: string, done: () => void): void {
    done();
  }

  /** The way in which a relay aborts its sockets. */
  resetAndDestroy(): void {
    this.destroy();
  }
}

/**
 * Connects to a port.
 *
 * @param signal Ends the attempt.
 * @returns `closed` also when the attempt was ended
 */
export async function probe(relay: Relay, port: number, signal: AbortSignal): Promise<"open" | "closed"> {
  const { promise, resolve } = Promise.withResolvers<"open" | "closed">();
  const socket = new ProbeSocket();
  const abort = (): void => void socket.destroy();
  signal.addEventListener("abort", abort, { once: true });
  socket.once("close", () => {
    signal.removeEventListener("abort", abort);
    resolve("closed");
  });
  relay.carry(socket, port, () => {
    resolve("open");
    // A clean end, which no service takes for an error.
    socket.push(null);
    const late = setTimeout(abort, closeTimeoutMs);
    socket.once("close", () => clearTimeout(late));
  });
  if (signal.aborted) abort();
  return await promise;
}
