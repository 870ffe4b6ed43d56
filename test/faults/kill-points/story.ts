/** A short life of a node that may die at any moment of it, and what its clients have been answered by then. */
import { randomBytes } from "node:crypto";
import { connectNex, type DeployOptions, type NexClient } from "@nexengine/client";
import { createKey, curveKeyOfSeed } from "@nexengine/protocol";
import { newSigner } from "@nexengine/testing";
import type { Victim } from "../../support/victim.ts";

export const issuer = newSigner();
const publisher = curveKeyOfSeed(createKey("curve").seed);
const counter = "let calls = 0; module.exports = () => ++calls;";

/** A deploy that was asked for. */
export interface Asked {
  name: string;
  /** The word in its command line that shows a service; a function has none. */
  mark?: string;
  /** Absent while there is no answer. */
  id?: string;
  /** Whether it was asked to stop, or to make place for another one, and whether that was answered. */
  stop?: "asked" | "answered";
  /** Name of the workload that makes place for it. */
  replaces?: string;
}

/** The node has died, as it was meant to. */
class Died extends Error {}

export class Story {
  readonly asked: Asked[] = [];
  /** Called when a deploy has been answered. */
  answered: () => void = () => undefined;
  readonly #victim: Victim;
  readonly #server: string;
  readonly #probePath: string | undefined;

  constructor(victim: Victim, server: string, probePath: string | undefined) {
    this.#victim = victim;
    this.#server = server;
    this.#probePath = probePath;
  }

  /** Runs to the end, or until the node is killed. @returns whether it came to the end */
  async run(): Promise<boolean> {
    // Closed when the node is dead, so that no request goes on to the next one.
    await using client = await connectNex({ servers: [this.#server] });
    try {
      await this.#tell(client);
      return true;
    } catch (error) {
      if (!(error instanceof Died) && this.#victim.signal !== "SIGKILL") throw error;
      return false;
    }
  }

  async #tell(client: NexClient): Promise<void> {
    await this.#victim.start();
    const kept = await this.#deploy(client, { name: "kept" });
    await this.#whileItLives(client.call("kept", "", { timeoutMs: 10_000 }));
    if (this.#probePath !== undefined) await this.#deployService(client, this.#probePath);
    const stopped = await this.#deploy(client, { name: "stopped" });
    stopped.stop = "asked";
    const nodeId = await this.#nodeId(client);
    await this.#whileItLives(client.stop({ nodeId, workloadId: stopped.id ?? "", name: "stopped", issuer }));
    stopped.stop = "answered";
    kept.stop = "asked";
    await this.#deploy(client, { name: "next", replaces: [{ id: kept.id ?? "", nodeId }] });
    kept.stop = "answered";
    await this.#victim.end("SIGTERM");
    await this.#victim.start();
  }

  async #deployService(client: NexClient, path: string): Promise<void> {
    const mark = `point-${randomBytes(6).toString("hex")}`;
    const options = { name: "service", type: "native", artifact: { path }, argv: [mark, "wait"] } as const;
    await this.#deploy(client, options, mark);
  }

  async #deploy(
    client: NexClient,
    options: Partial<DeployOptions> & { name: string },
    mark?: string,
  ): Promise<Asked> {
    const asked: Asked = { name: options.name, ...(mark === undefined ? {} : { mark }) };
    if (options.replaces !== undefined) asked.replaces = "kept";
    this.asked.push(asked);
    const { id } = await this.#whileItLives(
      client.deploy({
        type: "v8",
        issuer,
        publisher,
        artifact: { bytes: Buffer.from(counter) },
        ...(mark === undefined ? { triggerSubjects: [options.name] } : {}),
        ...options,
      }),
    );
    asked.id = id;
    this.answered();
    return asked;
  }

  async #nodeId(client: NexClient): Promise<string> {
    const [node] = await this.#whileItLives(client.nodes());
    return node?.node_id ?? "";
  }

  /** A request of a dead node is never answered. */
  async #whileItLives<T>(request: Promise<T>): Promise<T> {
    const died = this.#victim.exited.then(() => {
      throw new Died("The node has ended");
    });
    request.catch(() => undefined);
    return await Promise.race([request, died]);
  }
}
