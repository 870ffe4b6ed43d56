/** A running node in another process, as its successor sees it. */
import { type ErrorCode, errorCatalogue, NexError } from "@nexengine/protocol/errors";
import type { z } from "zod";
import {
  handOverVersion,
  preparedSchema,
  releasedSchema,
  type Step,
  type StepChannel,
  stepAnswerSchema,
  stoppedListeningSchema,
} from "./messages.ts";
import type { Predecessor, PreparedHandOver, StoppedListening } from "./predecessor.ts";

/** Time limit of each step. A deploy that has begun is finished first, and so are the calls of a workload. */
const stepTimeMs: Readonly<Record<Step["step"], number>> = {
  prepare: 10_000,
  stopListening: 240_000,
  unlock: 10_000,
  release: 90_000,
  finish: 60_000,
};

interface Waiter {
  resolve(result: unknown): void;
  reject(error: NexError): void;
}

export class RemotePredecessor implements Predecessor {
  readonly #channel: StepChannel;
  readonly #waiters = new Map<number, Waiter>();
  #nextId = 1;
  #isClosed = false;

  constructor(channel: StepChannel) {
    this.#channel = channel;
    channel.listen({
      message: (message) => this.#settle(message),
      closed: () => {
        this.#isClosed = true;
        for (const waiter of this.#waiters.values()) waiter.reject(gone());
        this.#waiters.clear();
      },
    });
  }

  async prepare(): Promise<PreparedHandOver> {
    return parse(preparedSchema, await this.#ask("prepare"));
  }

  async stopListening(): Promise<StoppedListening> {
    return parse(stoppedListeningSchema, await this.#ask("stopListening"));
  }

  async unlock(): Promise<void> {
    await this.#ask("unlock");
  }

  async release(workloadId: string): Promise<string[] | undefined> {
    return parse(releasedSchema, await this.#ask("release", workloadId));
  }

  async finish(): Promise<void> {
    await this.#ask("finish");
  }

  async #ask(step: Step["step"], workloadId?: string): Promise<unknown> {
    if (this.#isClosed) throw gone();
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiters.set(id, { resolve, reject });
    const late = setTimeout(() => {
      const text = `The running node did not answer the step "${step}" within ${stepTimeMs[step]} ms`;
      reject(new NexError("hand_over_refused", text));
    }, stepTimeMs[step]);
    try {
      const of = workloadId === undefined ? {} : { workload_id: workloadId };
      this.#channel.send({ id, version: handOverVersion, step, ...of } satisfies Step);
      return await promise;
    } finally {
      clearTimeout(late);
      this.#waiters.delete(id);
    }
  }

  #settle(message: unknown): void {
    const parsed = stepAnswerSchema.safeParse(message);
    if (!parsed.success) return;
    const { id, result, error } = parsed.data;
    const waiter = this.#waiters.get(id);
    if (error === undefined) waiter?.resolve(result);
    else waiter?.reject(new NexError(codeOf(error.code), error.message));
  }
}

function codeOf(code: string): ErrorCode {
  return Object.hasOwn(errorCatalogue, code) ? (code as ErrorCode) : "hand_over_refused";
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new NexError("hand_over_refused", "Cannot take the node over: its answer is not valid");
}

function gone(): NexError {
  return new NexError("hand_over_refused", "The node that was to be taken over has ended");
}
