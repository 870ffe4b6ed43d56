/** Functions in JavaScript (`v8` on the wire): one realm, calls as its globals allow them. */
import { readFileSync, statSync } from "node:fs";
import {
  CallError,
  type CallFailure,
  callHeaderBytesMax,
  type Deploy,
  retryAfterMsMax,
} from "@nexengine/protocol/agent";
import { NexError } from "@nexengine/protocol/errors";
import { Call, CallQueue, type CallRunner } from "../call-queue.ts";
import { LogLevel, type Provider, type ProviderHost, type RunningWorkload } from "../provider.ts";
import { Triggers } from "../trigger-facts.ts";
import { findFunction } from "./form.ts";
import { createRealm, type Realm, type RealmProviderHost } from "./realm.ts";
import type { RetryWish } from "./realm-types.ts";
import { isJson, replyBytes } from "./reply.ts";
import { SourcePlaces } from "./source-places.ts";

const lineEnd = "\r\n";
const contentType = /\r\ncontent-type:/i;
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Starts artifacts as functions. What it has prepared for the other life of globals is dropped at the start. */
export class JavaScriptProvider implements Provider {
  #kept: Realm | undefined;
  #frozen: Realm | undefined;
  #places: SourcePlaces | undefined;
  #triggers = new Triggers();

  prepare(host: ProviderHost): void {
    this.#kept = createRealm(this.#realmHost(host));
    this.#frozen = frozenRealm(this.#realmHost(host));
  }

  /** Log lines of a realm show the places of the original files. */
  #realmHost(host: ProviderHost): RealmProviderHost {
    return {
      get hostCalls() {
        return host.hostCalls;
      },
      log: (level, text) => host.log(level, this.#places?.shown(text) ?? text),
      drained: () => host.drained(),
      trigger: (call) =>
        call instanceof Call ? this.#triggers.ofCall(call) : this.#triggers.ofSubject(String(call)),
    };
  }

  async start(deploy: Deploy, artifact: string, host: ProviderHost): Promise<RunningWorkload> {
    const source = readSource(artifact, deploy.sourceBytesMax);
    const places = new SourcePlaces(source);
    this.#places = places;
    this.#triggers = new Triggers(deploy.triggers);
    const kept = this.#kept ?? createRealm(this.#realmHost(host));
    const parsed = findFunction(source, kept);
    const fresh = (deploy.globals ?? parsed.globals) === "fresh";
    const realm = fresh ? (this.#frozen ?? frozenRealm(this.#realmHost(host))) : kept;
    const { evaluate } = fresh ? findFunction(source, realm) : parsed;
    this.#kept = undefined;
    this.#frozen = undefined;
    process.on("unhandledRejection", (reason) => {
      host.log(LogLevel.error, places.shown(`Unhandled rejection: ${realm.api.describe(reason).long}`));
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
      places,
      (call) => this.#triggers.isHttp(call),
    ).calls;
  }
}

function frozenRealm(host: RealmProviderHost): Realm {
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

/** A function that takes calls, as many at once as it may. */
class JavaScriptFunction implements CallRunner {
  readonly calls: CallQueue;
  readonly #realm: Realm;
  readonly #host: ProviderHost;
  readonly #target: () => unknown;
  readonly #fresh: boolean;
  readonly #places: SourcePlaces;
  readonly #isHttp: (call: Call) => boolean;

  constructor(
    realm: Realm,
    host: ProviderHost,
    target: () => unknown,
    concurrency: number,
    fresh: boolean,
    places: SourcePlaces,
    isHttp: (call: Call) => boolean,
  ) {
    this.#realm = realm;
    this.#isHttp = isHttp;
    this.#host = host;
    this.#target = target;
    this.#fresh = fresh;
    this.#places = places;
    this.calls = new CallQueue(host, concurrency, this);
  }

  run(call: Call): void {
    const { api } = this.#realm;
    // A copy that the realm owns: what arrived belongs to the channel.
    const payload = api.bytes(call.payloadBytes);
    call.copyPayload(payload);
    // A call holds a chunk of the channel, so a context has it only where the subject does not do.
    const context = api.callContext(call.headers, call.triggerPlace === 0 ? call.subject : call);
    try {
      const target = this.#target();
      const value =
        target instanceof Promise
          ? target.then((fn) => api.call(fn, call.subject, payload, context))
          : api.call(target, call.subject, payload, context);
      if (
        typeof value === "object" &&
        value !== null &&
        typeof (value as { then?: unknown }).then === "function"
      ) {
        api.settle(
          value,
          (settled) => this.#reply(call, context, settled),
          (error) => this.#fail(call, error),
        );
      } else this.#reply(call, context, value);
    } catch (error) {
      this.#fail(call, error);
    }
  }

  /** Its globals go. */
  ended(): void {
    if (this.#fresh) this.#realm.api.restore();
  }

  #reply(call: Call, context: object, value: unknown): void {
    const { api } = this.#realm;
    let bytes: Uint8Array;
    let headers: Uint8Array | undefined;
    try {
      bytes = replyBytes(value, api);
      headers = headerBytes(this.#headersOf(call, context, value));
    } catch (error) {
      const { short } = api.describe(error);
      const text = `what the function returned can't be a reply: ${short}`;
      this.calls.fail(call, { code: CallError.threw, text });
      return;
    }
    this.calls.reply(call, bytes, headers);
  }

  /** Over HTTP, a value that goes out as JSON says so, unless the function names another type. */
  #headersOf(call: Call, context: object, value: unknown): string | undefined {
    const block = this.#realm.api.replyHeaders(context);
    if (call.triggerPlace === 0 || !this.#isHttp(call) || !isJson(value)) return block;
    if (block !== undefined && contentType.test(block)) return block;
    return `${block?.slice(0, -lineEnd.length) ?? `NATS/1.0${lineEnd}`}Content-Type: application/json${lineEnd}${lineEnd}`;
  }

  #fail(call: Call, error: unknown): void {
    if (call.over) return;
    const { short, long } = this.#realm.api.describe(error);
    this.#host.log(LogLevel.error, this.#places.shown(long));
    const retry = retryFields(this.#realm.api.retryOf(error));
    this.calls.fail(call, { code: CallError.threw, text: short, ...retry });
  }
}

/** A delay out of bounds counts as none. */
function retryFields(wish: RetryWish): Pick<CallFailure, "retry" | "retryAfterMs"> {
  if (wish === false) return { retry: false };
  return wish !== undefined && wish >= 0 && wish <= retryAfterMsMax ? { retryAfterMs: Math.round(wish) } : {};
}

function headerBytes(block: string | undefined): Uint8Array | undefined {
  if (block === undefined) return undefined;
  const bytes = Buffer.from(block);
  if (bytes.length > callHeaderBytesMax)
    throw new NexError("workload_rejected", `its headers have over ${callHeaderBytesMax} bytes`);
  return bytes;
}
