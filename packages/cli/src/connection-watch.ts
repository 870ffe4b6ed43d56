/** Tells of a NATS server that was lost, and of its return, while a command stays. */
import type { NexClient } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { colors as pc } from "./colors.ts";
import { note } from "./output.ts";

export class ConnectionWatch {
  readonly #client: NexClient;
  readonly #changed: () => void;
  #isConnected = true;

  /**
   * @param changed Called after each loss and each return.
   * @param isQuiet Says nothing itself.
   * @param isKept Whether nothing is missed, because the command reads from a history.
   */
  constructor(client: NexClient, { changed = () => {}, isQuiet = false, isKept = false } = {}) {
    this.#client = client;
    this.#changed = changed;
    void this.#watch(isQuiet, isKept ? lostForNow : lost);
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  async #watch(isQuiet: boolean, loss: string): Promise<void> {
    for await (const { type } of this.#client.connection.status()) {
      if (type !== "disconnect" && type !== "reconnect") continue;
      const isConnected = type === "reconnect";
      if (isConnected === this.#isConnected) continue;
      this.#isConnected = isConnected;
      if (!isQuiet) note(isConnected ? pc.dim(returned) : pc.yellow(loss));
      this.#changed();
    }
  }

  /** @throws NexError `connection_failed` when the connection was closed for good */
  demandOpen(): void {
    if (!this.#client.connection.isClosed()) return;
    throw new NexError(
      "connection_failed",
      "Cannot watch any longer: the NATS server closed the connection for good",
      {
        advice: "See whether the login still holds",
      },
    );
  }
}

/** The lines that it says. */
export const lost = "The NATS server is lost; trying to connect again. What happens meanwhile is not shown.";
const lostForNow = "The NATS server is lost; trying to connect again. What happens meanwhile comes later.";
const returned = "Connected to the NATS server again";
