/**
 * The code that is evaluated inside a function's realm. `setUpRealm` is handed over as source text, so it must not
 * refer to anything outside itself. The agent's functions are called by wrappers made in the realm and never reach the
 * function's code. Only primitives and objects made in the realm cross.
 */
import type {
  CallContexts,
  GlobalsKeeper,
  HostServiceTools,
  RealmApi,
  RealmHost,
  RetryWish,
  WebTools,
} from "./realm-types.ts";

/**
 * Gives a realm its globals.
 *
 * @param makeWebTools `makeWebTools` of realm-web.ts, evaluated in the same realm.
 * @param keepGlobals `keepGlobals` of realm-globals.ts, evaluated in the same realm.
 * @param makeHostServices `makeHostServices` of realm-services.ts, evaluated in the same realm.
 * @param makeCallContexts `makeCallContexts` of realm-calls.ts, evaluated in the same realm.
 */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: handed over as source text, so its parts can't stand outside of it
export function setUpRealm(
  agent: RealmHost,
  makeWebTools: (host: RealmHost) => WebTools,
  keepGlobals: () => GlobalsKeeper,
  makeCallContexts: (host: RealmHost) => CallContexts,
  makeHostServices: (host: RealmHost) => HostServiceTools,
): RealmApi {
  const global = globalThis as unknown as Record<PropertyKey, unknown>;
  const { ownKeys, defineProperty, apply } = Reflect;
  const { stringify } = JSON;
  const { freeze, create } = Object;
  const RealmUint8Array = Uint8Array;
  const RealmUint32Array = Uint32Array;
  const RealmError = Error;
  const RealmTypeError = TypeError;
  const RealmMap = Map;
  const toText = String;
  // An error of the agent's (its stack may run out too) must not carry the agent's realm into the function's.
  const lend = <A extends unknown[], R>(lent: (...args: A) => R): ((...args: A) => R) => {
    return (...args) => {
      try {
        return apply(lent, undefined, args);
      } catch {
        throw new RealmError("The agent could not do this");
      }
    };
  };
  const host: RealmHost = {
    console: lend(agent.console),
    setTimer: lend(agent.setTimer),
    clearTimer: lend(agent.clearTimer),
    fillRandom: lend(agent.fillRandom),
    encodeUtf8: lend(agent.encodeUtf8),
    decodeUtf8: lend(agent.decodeUtf8),
    url: lend(agent.url),
    query: lend(agent.query),
    nowMs: lend(agent.nowMs),
    trigger: lend(agent.trigger),
    uncaught: lend(agent.uncaught),
    hostCall: lend(agent.hostCall),
    hostCallLater: lend(agent.hostCallLater),
  };
  const { isFinite: finite } = Number;
  // biome-ignore lint/security/noGlobalEval: it is how a script's completion value is had, scoped to each evaluation
  const indirectEval = eval;

  const expose = (name: string, value: unknown): void => {
    // A bundler may have given a class another name.
    if (typeof value === "function") defineProperty(value, "name", { value: name, configurable: true });
    defineProperty(global, name, { value, writable: true, enumerable: false, configurable: true });
  };

  const consoleMethods: Record<string, number> = {
    debug: 0,
    trace: 0,
    log: 1,
    info: 1,
    dir: 1,
    table: 1,
    warn: 2,
    error: 3,
  };
  const consoleObject: Record<string, unknown> = {};
  for (const name of ownKeys(consoleMethods) as string[]) {
    const level = consoleMethods[name] as number;
    consoleObject[name] = (...args: unknown[]) => host.console(level, args);
  }
  consoleObject["assert"] = (condition: unknown, ...args: unknown[]) => {
    if (!condition) host.console(3, ["Assertion failed", ...args]);
  };
  for (const name of [
    "group",
    "groupCollapsed",
    "groupEnd",
    "time",
    "timeEnd",
    "timeLog",
    "count",
    "countReset",
    "clear",
  ]) {
    consoleObject[name] = () => undefined;
  }
  expose("console", consoleObject);

  // Timers: the agent's fire by id, the callbacks stay here.
  const timers = new RealmMap<number, { run: () => void; repeat: boolean }>();
  const timersMax = 10_000;
  let nextTimer = 1;
  const startTimer = (callback: unknown, delay: unknown, repeat: boolean, args: unknown[]): number => {
    if (typeof callback !== "function")
      throw new RealmTypeError("The callback of a timer must be a function");
    if (timers.size >= timersMax) throw new RealmError(`A function may have ${timersMax} timers at once`);
    const id = nextTimer++;
    const delayMs = Number(delay);
    timers.set(id, { run: () => apply(callback as () => void, global, args), repeat });
    host.setTimer(id, finite(delayMs) ? delayMs : 0, repeat);
    return id;
  };
  const clearTimer = (id: unknown): void => {
    if (typeof id === "number" && timers.delete(id)) host.clearTimer(id);
  };
  expose("setTimeout", (callback: unknown, delay?: unknown, ...args: unknown[]) =>
    startTimer(callback, delay, false, args),
  );
  expose("setInterval", (callback: unknown, delay?: unknown, ...args: unknown[]) =>
    startTimer(callback, delay, true, args),
  );
  expose("setImmediate", (callback: unknown, ...args: unknown[]) => startTimer(callback, 0, false, args));
  expose("clearTimeout", clearTimer);
  expose("clearInterval", clearTimer);
  expose("clearImmediate", clearTimer);
  const describe = (error: unknown): { short: string; long: string } => {
    try {
      if (typeof error === "object" && error !== null) {
        const { name, message, stack } = error as { name?: unknown; message?: unknown; stack?: unknown };
        if (typeof message === "string") {
          const short = typeof name === "string" && name !== "" ? `${name}: ${message}` : message;
          return { short, long: typeof stack === "string" && stack !== "" ? stack : short };
        }
      }
      const text = toText(error);
      return { short: text, long: text };
    } catch {
      return {
        short: "something that can't be shown was thrown",
        long: "something that can't be shown was thrown",
      };
    }
  };
  const retryOf = (error: unknown): RetryWish => {
    if (typeof error !== "object" || error === null) return undefined;
    try {
      const { retry } = error as { retry?: unknown };
      if (retry === false) return false;
      const { retryAfterMs } = error as { retryAfterMs?: unknown };
      return typeof retryAfterMs === "number" ? retryAfterMs : undefined;
    } catch {
      return undefined;
    }
  };
  const fire = (id: number): void => {
    const timer = timers.get(id);
    if (timer === undefined) return;
    if (!timer.repeat) timers.delete(id);
    try {
      timer.run();
    } catch (error) {
      host.uncaught(describe(error).long);
    }
  };
  expose("queueMicrotask", (callback: unknown) => {
    if (typeof callback !== "function")
      throw new RealmTypeError("The callback of a microtask must be a function");
    void (async () => {
      await undefined;
      try {
        apply(callback as () => void, global, []);
      } catch (error) {
        host.uncaught(describe(error).long);
      }
    })();
  });
  expose("performance", { now: () => host.nowMs() });

  // Randomness of the agent's own, so that copies of a snapshot differ once they are seeded anew.
  const pool = new RealmUint32Array(256);
  const poolBytes = new RealmUint8Array(pool.buffer);
  let used = pool.length;
  Math.random = () => {
    if (used + 2 > pool.length) {
      host.fillRandom(poolBytes);
      used = 0;
    }
    const high = (pool[used++] as number) >>> 5;
    const low = (pool[used++] as number) >>> 6;
    return (high * 67_108_864 + low) / 9_007_199_254_740_992;
  };
  const isView = ArrayBuffer.isView;
  const hex = "0123456789abcdef";
  expose("crypto", {
    getRandomValues<T>(array: T): T {
      if (!isView(array)) throw new RealmTypeError("getRandomValues needs a typed array");
      if (array.byteLength > 65_536) throw new RealmError("getRandomValues gives at most 65,536 bytes");
      host.fillRandom(new RealmUint8Array(array.buffer, array.byteOffset, array.byteLength));
      return array;
    },
    randomUUID(): string {
      const bytes = new RealmUint8Array(16);
      host.fillRandom(bytes);
      bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
      bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
      let text = "";
      for (let at = 0; at < 16; at++) {
        if (at === 4 || at === 6 || at === 8 || at === 10) text += "-";
        const byte = bytes[at] as number;
        text += (hex[byte >> 4] as string) + (hex[byte & 15] as string);
      }
      return text;
    },
  });

  const tools = makeWebTools(host);
  for (const name of ownKeys(tools) as (keyof WebTools)[]) expose(name, tools[name]);
  const services = makeHostServices(host);
  expose("hostServices", services.hostServices);
  const globals = keepGlobals();
  const contexts = makeCallContexts(host);

  return {
    bytes: (length) => new RealmUint8Array(length),
    call: (fn, subject, payload, context) =>
      apply(fn as (...args: unknown[]) => unknown, global, [subject, payload, context]),
    callContext: contexts.make,
    replyHeaders: contexts.replyHeaders,
    settle: async (value, done, failed) => {
      let settled: unknown;
      try {
        settled = await value;
      } catch (error) {
        failed(error);
        return;
      }
      done(settled);
    },
    stringify: (value) => stringify(value),
    describe,
    retryOf,
    evaluate: (source) => indirectEval(source),
    moduleScope: () => ({
      module: { exports: {} },
      require: (name) => {
        throw new RealmError(`Cannot require "${toText(name)}": a function is one file, bundle it first`);
      },
    }),
    fire,
    setEnvironment: (entries) => {
      const environment = create(null) as Record<string, string>;
      for (const [name, value] of entries) environment[name] = value;
      expose("env", freeze(environment));
    },
    freeze: globals.freeze,
    remember: globals.remember,
    restore: () => {
      if (timers.size > 0) for (const id of timers.keys()) clearTimer(id);
      services.endCall();
      globals.restore();
    },
    makeError: (text) => new RealmError(text),
  };
}
