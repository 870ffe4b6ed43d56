/** A successor's link to the first process of its node, which is its parent. */
import type { NexNode, StepChannel } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/errors";
import { type Envelope, envelopeSchema, type Program, takeOverVariable } from "./envelopes.ts";
import { handOverTo } from "./hand-over-to.ts";

const spawnTimeMs = 10_000;

export class ParentLink {
  /** Hears the steps of the hand-over that is in progress: first those of its own take-over. */
  #steps: ((body: object) => void) | undefined;
  #closed: (() => void) | undefined;
  #spawned: ((pid: number) => void) | undefined;

  private constructor() {
    process.on("message", (message) => {
      const parsed = envelopeSchema.safeParse(message);
      if (parsed.success) this.#take(parsed.data);
    });
    process.once("disconnect", () => this.#closed?.());
  }

  /** @returns `undefined` when this process was not started to take a node over. */
  static open(): ParentLink | undefined {
    const isSuccessor = process.env[takeOverVariable] === "1" && process.send !== undefined;
    delete process.env[takeOverVariable];
    return isSuccessor ? new ParentLink() : undefined;
  }

  /** The channel to the other process of a hand-over. Only one is in progress at a time. */
  get steps(): StepChannel {
    return {
      send: (body) => this.#send({ kind: "step", body: { ...body } }),
      listen: ({ message, closed }) => {
        this.#steps = message;
        this.#closed = closed;
      },
    };
  }

  /**
   * Ends this process at once when its parent is gone, which would pass the signals of a supervisor on. Machines stay, and
   * the node that the supervisor starts adopts them.
   */
  endWithParent(log: { error(text: string): void }): void {
    const end = (): void => {
      log.error(
        "the process that has started this one is gone: ends at once, and leaves the machines running",
      );
      process.kill(process.pid, "SIGKILL");
    };
    if (!process.connected) end();
    process.once("disconnect", end);
    // The channel alone keeps no process.
    process.channel?.unref();
  }

  /** Has the parent start a successor, and hands the node to it. @returns its pid @throws NexError `hand_over_refused` */
  async startSuccessor(node: NexNode, program: Program): Promise<number> {
    const spawned = Promise.withResolvers<number>();
    this.#spawned = spawned.resolve;
    const late = setTimeout(() => {
      spawned.reject(
        new NexError("hand_over_refused", `No process was started within ${spawnTimeMs / 1_000} s`),
      );
    }, spawnTimeMs);
    const handedOver = handOverTo(node, this.steps);
    handedOver.catch(() => undefined);
    this.#send({ kind: "spawn", program });
    try {
      const pid = await Promise.race([spawned.promise, handedOver.then(() => spawned.promise)]);
      await handedOver;
      this.#send({ kind: "handed_over" });
      return pid;
    } finally {
      clearTimeout(late);
    }
  }

  #take(envelope: Envelope): void {
    if (envelope.kind === "step") this.#steps?.(envelope.body);
    else if (envelope.kind === "spawned") this.#spawned?.(envelope.pid);
    else if (envelope.kind === "closed") this.#closed?.();
  }

  #send(envelope: Envelope): void {
    process.send?.(envelope);
  }
}
