/**
 * The first process of a node starts all its successors, so that a supervisor always sees the process that it has started. It
 * hands its own node to the first of them. Between the later ones it only passes messages on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { NexNode, StepChannel } from "@nexengine/node/internal";
import { type Envelope, envelopeSchema, type Program, takeOverVariable } from "./envelopes.ts";
import { handOverTo } from "./hand-over-to.ts";

const signalStatusBase = 128;
const forwarded = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"] as const;

export class Successors {
  /** The process that has the node; absent while this one has it. */
  #current: ChildProcess | undefined;
  /** A process that takes the node over from the current one. */
  #next: ChildProcess | undefined;
  /** A signal that came while the node changed hands. */
  #asked: NodeJS.Signals | undefined;
  readonly #ended = Promise.withResolvers<number>();

  readonly #forward = (signal: NodeJS.Signals): void => {
    this.#asked = signal;
    this.#current?.kill(signal);
  };

  /** Whether the node is in another process. */
  get haveNode(): boolean {
    return this.#current !== undefined;
  }

  /**
   * Starts a program with this node's arguments, and hands the node of this process to it.
   *
   * @returns its pid.
   * @throws NexError `hand_over_refused` when it has not taken over.
   */
  async startFirst(node: NexNode, program: Program): Promise<number> {
    for (const signal of forwarded) process.on(signal, this.#forward);
    const child = spawnSuccessor(program);
    try {
      await handOverTo(node, stepsOf(child));
    } catch (error) {
      for (const signal of forwarded) process.off(signal, this.#forward);
      child.kill("SIGKILL");
      throw error;
    }
    this.#follow(child);
    return child.pid ?? 0;
  }

  /** Waits for the end of the node, and passes signals on. @returns its exit status */
  async ended(): Promise<number> {
    if (this.#asked !== undefined) this.#current?.kill(this.#asked);
    const status = await this.#ended.promise;
    for (const signal of forwarded) process.off(signal, this.#forward);
    return status;
  }

  /** The node is in this process now. */
  #follow(child: ChildProcess): void {
    this.#current = child;
    child.on("message", (message) => {
      const parsed = envelopeSchema.safeParse(message);
      if (parsed.success) this.#take(child, parsed.data);
    });
    const end = (): void => {
      if (child !== this.#current) return;
      this.#next?.kill("SIGKILL");
      const { exitCode, signalCode } = child;
      this.#ended.resolve(exitCode ?? signalStatusBase + (signalCode ? constants.signals[signalCode] : 0));
    };
    if (child.exitCode === null && child.signalCode === null) child.once("exit", end);
    else end();
  }

  #take(from: ChildProcess, envelope: Envelope): void {
    if (from !== this.#current) return;
    if (envelope.kind === "spawn") this.#startNext(from, envelope.program);
    else if (envelope.kind === "step") send(this.#next, envelope);
    else if (envelope.kind === "handed_over" && this.#next !== undefined) {
      const next = this.#next;
      this.#next = undefined;
      this.#follow(next);
    }
  }

  #startNext(current: ChildProcess, program: Program): void {
    this.#next?.kill("SIGKILL");
    const child = spawnSuccessor(program);
    this.#next = child;
    stepsOf(child).listen({
      message: (body) => {
        if (child === this.#next) send(current, { kind: "step", body: { ...(body as object) } });
      },
      closed: () => {
        if (child !== this.#next) return;
        this.#next = undefined;
        child.kill("SIGKILL");
        send(current, { kind: "closed" });
      },
    });
    send(current, { kind: "spawned", pid: child.pid ?? 0 });
  }
}

function spawnSuccessor([file = process.execPath, ...first]: Program): ChildProcess {
  const child = spawn(file, [...first, ...process.argv.slice(2)], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { ...process.env, [takeOverVariable]: "1" },
    // A terminal's signals go to this process alone, which passes them on.
    detached: true,
  });
  // Whoever waits for its messages hears of a failure; nobody does later.
  child.on("error", () => undefined);
  return child;
}

function stepsOf(child: ChildProcess): StepChannel {
  return {
    send: (body) => send(child, { kind: "step", body: { ...body } }),
    listen: ({ message, closed }) => {
      child.on("message", (received) => {
        const parsed = envelopeSchema.safeParse(received);
        if (parsed.success && parsed.data.kind === "step") message(parsed.data.body);
      });
      void once(child, "disconnect").then(closed, closed);
    },
  };
}

/** Sends to a process that may be gone; its end is heard too. */
function send(child: ChildProcess | undefined, envelope: Envelope): void {
  if (child?.connected === true) child.send(envelope, () => undefined);
}
