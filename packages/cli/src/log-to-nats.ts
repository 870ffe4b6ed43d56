/** A node's own log on NATS, over a connection of its own. */
import { connectNats, unsentBytes } from "@nexengine/node/internal";
import type { NatsLogin } from "@nexengine/protocol/nats";
import { nodeLogSubject } from "@nexengine/protocol/subjects";

/** Lines that wait until the node is known; further ones push out the oldest. */
const waitingLinesMax = 1_000;
const closeTimeoutMs = 2_000;
/** Bytes that wait for the server; further lines are dropped. */
const unsentBytesMax = 4_194_304;

/** Publishes lines; those that come before `open` wait. */
export class LogToNats {
  readonly #waiting: { line: string; isError: boolean }[] = [];
  #publish: ((line: string, isError: boolean) => void) | undefined;
  #end: (() => Promise<void>) | undefined;

  write(line: string, isError: boolean): void {
    if (this.#publish !== undefined) {
      this.#publish(line, isError);
      return;
    }
    if (this.#waiting.length >= waitingLinesMax) this.#waiting.shift();
    this.#waiting.push({ line, isError });
  }

  /** @throws NexError `connection_failed` */
  async open(login: NatsLogin, nodeId: string): Promise<void> {
    // A refused login, as after a changed password, is retried for ever, as the node's own is.
    const connection = await connectNats(
      { ...login, name: `${login.name ?? "nex"}-log` },
      { ignoreAuthErrorAbort: true },
    );
    this.#publish = (line, isError) => {
      if (!connection.isClosed() && unsentBytes(connection) < unsentBytesMax)
        connection.publish(nodeLogSubject(nodeId, isError ? "stderr" : "stdout"), line);
    };
    this.#end = async () => {
      const late = new Promise<void>((resolve) => setTimeout(resolve, closeTimeoutMs).unref());
      if (!connection.isClosed()) await Promise.race([connection.flush().catch(() => undefined), late]);
      await connection.close();
    };
    for (const { line, isError } of this.#waiting.splice(0)) this.#publish(line, isError);
  }

  /** Sends what is left, within a bounded time. Idempotent. */
  async close(): Promise<void> {
    const end = this.#end;
    this.#end = undefined;
    await end?.();
  }
}
