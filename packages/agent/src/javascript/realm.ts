/** A realm for one function: a context of its own, the globals that functions have, and nothing of the agent's. */

import { formatWithOptions, TextDecoder, TextEncoder } from "node:util";
import { type Context, constants, createContext, Script } from "node:vm";
import type { HostReply } from "@nexengine/protocol/agent";
import { NexError } from "@nexengine/protocol/errors";
import { LogLevel as Level, type LogLevel, type ProviderHost } from "../provider.ts";
import { fillRandom } from "../random.ts";
import type { TriggerFacts } from "../trigger-facts.ts";
import { makeCallContexts } from "./realm-calls.ts";
import { keepGlobals } from "./realm-globals.ts";
import { makeHostServices } from "./realm-services.ts";
import { setUpRealm } from "./realm-setup.ts";
import type { RealmApi, RealmHost, RealmHostReply, UrlParts } from "./realm-types.ts";
import { makeWebTools } from "./realm-web.ts";

/** Maximum number of characters that one console call prints; the rest is cut off. */
const consoleTextMax = 16_384;
const timerDelayMsMax = 2 ** 31 - 1;

export interface Realm {
  readonly context: Context;
  readonly api: RealmApi;
  /** Makes the intrinsics unchangeable. */
  freeze(): void;
  /**
   * Completes the globals, to which `restore` leads back from then on.
   *
   * @param environment What the function sees as `env`.
   */
  begin(environment: Readonly<Record<string, string>>): void;
  /** For code that asks for another module. */
  readonly refuseImport: (specifier: string) => never;
}

/** The part of a provider's host that a realm needs. */
export interface RealmProviderHost extends Pick<ProviderHost, "hostCalls" | "log" | "drained"> {
  /** Facts about the trigger of a call. @param call As the provider gave it to `callContext`. */
  trigger(call: unknown): TriggerFacts;
}

/** Makes a realm. */
export function createRealm(host: RealmProviderHost): Realm {
  const context = createContext(constants.DONT_CONTEXTIFY, {
    name: "function",
    codeGeneration: { strings: true, wasm: true },
  });
  const refusal: ImportRefusal = {};
  const refuseImport = importRefuser(refusal);
  const inRealm = <F extends (...args: never[]) => unknown>(setUp: F): F =>
    new Script(`(${setUp.toString()})`, {
      filename: "nex:realm",
      // Holds for what `evaluate` evaluates, too.
      importModuleDynamically: refuseImport,
    }).runInContext(context) as F;
  let frozen = false;
  const show = (value: unknown): unknown => (frozen ? cloned(value) : value);
  const api: RealmApi = inRealm(setUpRealm)(
    realmHost(host, show, (id) => api.fire(id)),
    inRealm(makeWebTools),
    inRealm(keepGlobals),
    inRealm(makeCallContexts),
    inRealm(makeHostServices),
  );
  refusal.realm = new WeakRef(api);
  return {
    context,
    api,
    freeze: () => {
      api.freeze();
      frozen = true;
    },
    begin: (environment) => {
      api.setEnvironment(Object.entries(environment));
      if (frozen) api.remember();
    },
    refuseImport,
  };
}

interface ImportRefusal {
  realm?: WeakRef<RealmApi>;
}

/**
 * Apart from the realm and with a weak hold on it: what code does on an import lives as long as anything of the code,
 * which V8 keeps for another compilation of the same text.
 */
function importRefuser(refusal: ImportRefusal): (specifier: string) => never {
  return (specifier) => {
    const text = `Cannot import "${specifier}": a function is one file, bundle it first`;
    throw refusal.realm?.deref()?.makeError(text) ?? new NexError("workload_rejected", text);
  };
}

/** A value whose prototypes print as people know them: those of a frozen realm have accessors for constructors. */
function cloned(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  try {
    return structuredClone(value);
  } catch {
    return value;
  }
}

function realmHost(
  host: RealmProviderHost,
  show: (value: unknown) => unknown,
  fire: (id: number) => void,
): RealmHost {
  const timers = new Map<number, NodeJS.Timeout>();
  const encoder = new TextEncoder();
  const startedMs = performance.now();
  let congested = false;
  let dropped = 0;
  const log = (level: LogLevel, text: string): void => {
    if (congested) {
      dropped++;
      return;
    }
    congested = !host.log(level, text.slice(0, consoleTextMax / 4));
    if (!congested) return;
    void host.drained().then(() => {
      congested = false;
      if (dropped > 0) log(Level.warn, `${dropped} lines were dropped: they came faster than the node reads`);
      dropped = 0;
    });
  };
  return {
    console: (level, args) =>
      log(level as LogLevel, formatWithOptions({ customInspect: false, depth: 4 }, ...args.map(show))),
    setTimer: (id, delayMs, repeat) => {
      const delay = Math.min(Math.max(delayMs, repeat ? 1 : 0), timerDelayMsMax);
      const run = (): void => {
        if (!repeat) timers.delete(id);
        fire(id);
      };
      timers.set(id, repeat ? setInterval(run, delay) : setTimeout(run, delay));
    },
    clearTimer: (id) => {
      clearTimeout(timers.get(id));
      timers.delete(id);
    },
    fillRandom,
    encodeUtf8: (text) => encoder.encode(text).buffer,
    decodeUtf8: (label, fatal, ignoreBOM, bytes) =>
      new TextDecoder(label, { fatal, ignoreBOM }).decode(bytes as Uint8Array<ArrayBuffer> | undefined),
    url: (text, base, change) => urlParts(text, base, change),
    query: (text) => [...new URLSearchParams(text)],
    nowMs: () => performance.now() - startedMs,
    trigger: (call) => JSON.stringify(host.trigger(call)),
    uncaught: (text) => log(Level.error, `Uncaught ${text}`),
    hostCall: (method, args) => shownReply(host.hostCalls.block(method, args.map(asBytes))),
    hostCallLater: (method, args, done) => {
      void host.hostCalls.call(method, args.map(asBytes)).then((reply) => done(shownReply(reply)));
    },
  };
}

function asBytes(arg: Uint8Array | string): Uint8Array {
  // A copy: it is the function's, and may go out later.
  return Buffer.from(arg as Uint8Array);
}

function shownReply(reply: HostReply): RealmHostReply {
  return reply.kind === "json" ? { kind: "json", text: JSON.stringify(reply.value) } : reply;
}

const urlPartNames = [
  "href",
  "origin",
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
] as const;

function urlParts(
  text: string,
  base: string | undefined,
  change: readonly [part: string, value: string] | undefined,
): UrlParts | undefined {
  const url = URL.parse(text, base);
  if (url === null) return undefined;
  const part = urlPartNames.find((name) => name === change?.[0]);
  if (change !== undefined && part !== undefined && part !== "origin") url[part] = change[1];
  return Object.fromEntries(urlPartNames.map((name) => [name, url[name]]));
}
