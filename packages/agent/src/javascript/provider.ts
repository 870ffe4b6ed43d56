/** Functions in JavaScript (`v8` on the wire): one realm, calls as its globals allow them. */
import { readFileSync, statSync } from "node:fs";
import { CallError, type Deploy, type Exited, NexError } from "@nexengine/protocol/internal";
import { LogLevel, type Provider, type ProviderHost, type RunningWorkload } from "../provider.ts";
import { findFunction } from "./form.ts";
import { createRealm, type Realm } from "./realm.ts";
import { replyBytes } from "./reply.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Starts artifacts as functions. What it has prepared for the other life of globals is dropped at the start. */
export class JavaScriptProvider implements Provider {
  #kept: Realm | undefined;
  #frozen: Realm | undefined;

  prepare(host: ProviderHost): void {
    this.#kept = createRealm(host);
    this.#frozen = frozenRealm(host);
  }

  async start(deploy: Deploy, artifact: string, host: ProviderHost): Promise<RunningWorkload> {
    const source = readSource(artifact, deploy.sourceBytesMax);
    const kept = this.#kept ?? createRealm(host);
    const parsed = findFunction(source, kept);
    const fresh = (deploy.globals ?? parsed.globals) === "fresh";
    const realm = fresh ? (this.#frozen ?? frozenRealm(host)) : kept;
    const { evaluate } = fresh ? findFunction(source, realm) : parsed;
    this.#kept = undefined;
    this.#frozen = undefined;
    process.on("unhandledRejection", (reason) => {
      host.log(LogLevel.error, `Unhandled rejection: ${realm.api.describe(reason).long}`);
    });
    realm.begin(deploy.environment);
    const first = await firstEvaluation(evaluate, realm);
    if (fresh) realm.api.restore();
    return new JavaScriptFunction(
      realm,
      host,
      fresh ? evaluate : () => first,
      fresh ? 1 : deploy.concurrency,
      fresh,
    );
  }
}

function frozenRealm(host: ProviderHost): Realm {
  const realm = createRealm(host);
  realm.freeze();
  return realm;
}

function readSource(artifact: string, sourceBytesMax: number): string {
  const { size } = statSync(artifact);
  if (size > sourceBytesMax) {
    throw new NexError(
      "artifact_too_large",
      `source file (${size} bytes) exceeds maximum of ${sourceBytesMax} bytes`,
    );
  }
  try {
    return decoder.decode(readFileSync(artifact));
  } catch (cause) {
    throw new NexError("artifact_invalid", "the source is not UTF-8", { cause });
  }
}

async function firstEvaluation(evaluate: () => unknown, realm: Realm): Promise<unknown> {
  try {
    return await evaluate();
  } catch (error) {
    if (error instanceof NexError) throw error;
    const { short } = realm.api.describe(error);
    throw new NexError("artifact_invalid", `the source can't be evaluated: ${short}`, { cause: error });
  }
}

interface Call {
  id: number;
  subject: string;
  payload: Buffer;
}

/** A function that takes calls, as many at once as it may. */
class JavaScriptFunction implements RunningWorkload {
  readonly concurrency: number;
  readonly #realm: Realm;
  readonly #host: ProviderHost;
  readonly #target: () => unknown;
  readonly #fresh: boolean;
  readonly #waiting: Call[] = [];
  readonly #running = new Set<number>();
  #looping = false;

  constructor(realm: Realm, host: ProviderHost, target: () => unknown, concurrency: number, fresh: boolean) {
    this.#realm = realm;
    this.#host = host;
    this.#target = target;
    this.#fresh = fresh;
    this.concurrency = concurrency;
  }

  invoke(id: number, subject: string, payload: Buffer): void {
    if (this.#waiting.length === 0 && this.#running.size < this.concurrency)
      this.#run({ id, subject, payload });
    // The payload is a view on what the channel read: it has to outlive this turn.
    else this.#waiting.push({ id, subject, payload: Buffer.from(payload) });
    this.#runWaiting();
  }

  cancel(id: number): void {
    const waiting = this.#waiting.findIndex((call) => call.id === id);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    else if (this.#running.has(id)) this.#finish(id);
  }

  async stop(): Promise<Exited> {
    for (const call of this.#waiting.splice(0)) {
      this.#host.failure(call.id, { code: CallError.stopped, text: "the function was stopped" });
    }
    return { code: 0 };
  }

  #run(call: Call): void {
    this.#running.add(call.id);
    this.#host.started(call.id);
    const { api } = this.#realm;
    // A copy that the realm owns: what arrived belongs to the channel.
    const payload = api.bytes(call.payload.length);
    payload.set(call.payload);
    try {
      const target = this.#target();
      const value =
        target instanceof Promise
          ? target.then((fn) => api.call(fn, call.subject, payload))
          : api.call(target, call.subject, payload);
      if (
        typeof value === "object" &&
        value !== null &&
        typeof (value as { then?: unknown }).then === "function"
      ) {
        api.settle(
          value,
          (settled) => this.#reply(call.id, settled),
          (error) => this.#fail(call.id, error),
        );
      } else this.#reply(call.id, value);
    } catch (error) {
      this.#fail(call.id, error);
    }
  }

  #reply(id: number, value: unknown): void {
    if (!this.#running.has(id)) return;
    let bytes: Uint8Array;
    try {
      bytes = replyBytes(value, this.#realm.api);
    } catch (error) {
      const { short } = this.#realm.api.describe(error);
      this.#host.failure(id, {
        code: CallError.threw,
        text: `what the function returned can't be a reply: ${short}`,
      });
      this.#finish(id);
      return;
    }
    this.#host.result(id, bytes);
    this.#finish(id);
  }

  #fail(id: number, error: unknown): void {
    if (!this.#running.has(id)) return;
    const { short, long } = this.#realm.api.describe(error);
    this.#host.log(LogLevel.error, long);
    this.#host.failure(id, { code: CallError.threw, text: short });
    this.#finish(id);
  }

  /** The call is over, answered or given up: its globals go. */
  #finish(id: number): void {
    this.#running.delete(id);
    if (this.#fresh) this.#realm.api.restore();
    this.#runWaiting();
  }

  /** A loop, so that calls which end at once do not nest. */
  #runWaiting(): void {
    if (this.#looping) return;
    this.#looping = true;
    try {
      while (this.#running.size < this.concurrency) {
        const next = this.#waiting.shift();
        if (next === undefined) break;
        this.#run(next);
      }
    } finally {
      this.#looping = false;
    }
  }
}
