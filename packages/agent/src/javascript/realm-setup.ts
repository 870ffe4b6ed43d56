/**
 * What is evaluated inside a function's realm. `setUpRealm` is handed over as source text, so it must not refer to
 * anything outside itself; its parameter's functions are called by wrappers made in the realm and never reach the
 * function's code, and only primitives and objects made in the realm cross.
 */

/** What the agent lends to a realm. */
export interface RealmHost {
  console(level: number, args: unknown[]): void;
  setTimer(id: number, delayMs: number, repeat: boolean): void;
  clearTimer(id: number): void;
  fillRandom(bytes: Uint8Array): void;
  encodeUtf8(text: string): ArrayBufferLike;
  decodeUtf8(label: string, fatal: boolean, ignoreBom: boolean, bytes: ArrayBufferView | undefined): string;
  /** @returns the parts of a URL, or `undefined` when it is none. */
  url(
    text: string,
    base: string | undefined,
    change?: readonly [part: string, value: string],
  ): UrlParts | undefined;
  query(text: string): [string, string][];
  nowMs(): number;
  uncaught(text: string): void;
}
export type UrlParts = Record<string, string>;

/** What a realm gives the agent. */
export interface RealmApi {
  /** A `Uint8Array` of the realm with room for so many bytes. */
  bytes(length: number): Uint8Array;
  /** Calls a function with the realm's global as `this`. */
  call(fn: unknown, subject: string, payload: Uint8Array): unknown;
  /** Waits for a value that may be a promise, or a thenable. */
  settle(value: unknown, done: (value: unknown) => void, failed: (error: unknown) => void): void;
  /** JSON of a value; `undefined` where it has none. */
  stringify(value: unknown): string | undefined;
  /** What was thrown, as text: short for the caller, long for the log. */
  describe(error: unknown): { short: string; long: string };
  /** The completion value of a script, evaluated in the global scope. */
  evaluate(source: string): unknown;
  /** The exports object of a CommonJS module and its `require`. */
  moduleScope(): { module: { exports: unknown }; require: (name: string) => never };
  fire(timerId: number): void;
  setEnvironment(entries: readonly (readonly [string, string])[]): void;
  /** Freezes the intrinsics, so that no call can change them for the next. */
  freeze(): void;
  /** Takes the globals as they are for what `restore` returns to. */
  remember(): void;
  /** Puts the globals back and cuts off timers and callbacks. */
  restore(): void;
  /** An error made in the realm. */
  makeError(text: string): unknown;
}

export function setUpRealm(agent: RealmHost): RealmApi {
  const global = globalThis as unknown as Record<PropertyKey, unknown>;
  const { ownKeys, getOwnPropertyDescriptor, defineProperty, deleteProperty, getPrototypeOf, apply } =
    Reflect;
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
    uncaught: lend(agent.uncaught),
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

  const fromHost = (buffer: ArrayBufferLike): Uint8Array => {
    const view = new RealmUint8Array(buffer);
    const own = new RealmUint8Array(view.length);
    own.set(view);
    return own;
  };
  class TextEncoder {
    get encoding(): string {
      return "utf-8";
    }
    encode(text: unknown = ""): Uint8Array {
      return fromHost(host.encodeUtf8(toText(text)));
    }
  }
  class TextDecoder {
    #label: string;
    #fatal: boolean;
    #ignoreBom: boolean;
    constructor(label: unknown = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
      this.#label = toText(label);
      this.#fatal = Boolean(options.fatal);
      this.#ignoreBom = Boolean(options.ignoreBOM);
      this.#decode(undefined);
    }
    get encoding(): string {
      return this.#label;
    }
    get fatal(): boolean {
      return this.#fatal;
    }
    decode(bytes?: unknown): string {
      if (bytes === undefined) return "";
      return this.#decode(isView(bytes) ? bytes : new RealmUint8Array(bytes as ArrayBuffer));
    }
    #decode(bytes: ArrayBufferView | undefined): string {
      let text: string | undefined;
      try {
        text = host.decodeUtf8(this.#label, this.#fatal, this.#ignoreBom, bytes);
      } catch {
        // What the agent throws stays in the agent.
      }
      if (text === undefined) throw new RealmTypeError(`The bytes can't be decoded as ${this.#label}`);
      return text;
    }
  }
  expose("TextEncoder", TextEncoder);
  expose("TextDecoder", TextDecoder);

  const encodeForm = (text: string): string =>
    encodeURIComponent(text)
      .replace(/[!'()~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
      .replace(/%20/g, "+");
  class URLSearchParams {
    #pairs: [string, string][] = [];
    #changed: ((query: string) => void) | undefined;
    constructor(from: unknown = "", changed?: (query: string) => void) {
      this.#changed = typeof changed === "function" ? changed : undefined;
      if (typeof from === "string") {
        for (const pair of host.query(from[0] === "?" ? from.slice(1) : from))
          this.#pairs.push([pair[0], pair[1]]);
      } else if (typeof from === "object" && from !== null && Symbol.iterator in from) {
        for (const [name, value] of from as Iterable<[unknown, unknown]>)
          this.#pairs.push([toText(name), toText(value)]);
      } else if (typeof from === "object" && from !== null) {
        for (const name of Object.keys(from))
          this.#pairs.push([name, toText((from as Record<string, unknown>)[name])]);
      }
    }
    #change(pairs: [string, string][]): void {
      this.#pairs = pairs;
      this.#changed?.(this.toString());
    }
    get size(): number {
      return this.#pairs.length;
    }
    get(name: unknown): string | null {
      return this.#pairs.find((pair) => pair[0] === toText(name))?.[1] ?? null;
    }
    getAll(name: unknown): string[] {
      return this.#pairs.filter((pair) => pair[0] === toText(name)).map((pair) => pair[1]);
    }
    has(name: unknown): boolean {
      return this.#pairs.some((pair) => pair[0] === toText(name));
    }
    append(name: unknown, value: unknown): void {
      this.#change([...this.#pairs, [toText(name), toText(value)]]);
    }
    delete(name: unknown): void {
      this.#change(this.#pairs.filter((pair) => pair[0] !== toText(name)));
    }
    set(name: unknown, value: unknown): void {
      const key = toText(name);
      const at = this.#pairs.findIndex((pair) => pair[0] === key);
      const rest = this.#pairs.filter((pair, index) => pair[0] !== key || index === at);
      if (at < 0) rest.push([key, toText(value)]);
      else rest[rest.findIndex((pair) => pair[0] === key)] = [key, toText(value)];
      this.#change(rest);
    }
    sort(): void {
      this.#change([...this.#pairs].sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)));
    }
    forEach(callback: (value: string, name: string, params: URLSearchParams) => void): void {
      for (const [name, value] of this.#pairs) callback(value, name, this);
    }
    *entries(): Generator<[string, string]> {
      for (const [name, value] of this.#pairs) yield [name, value];
    }
    *keys(): Generator<string> {
      for (const pair of this.#pairs) yield pair[0];
    }
    *values(): Generator<string> {
      for (const pair of this.#pairs) yield pair[1];
    }
    [Symbol.iterator](): Generator<[string, string]> {
      return this.entries();
    }
    toString(): string {
      return this.#pairs.map(([name, value]) => `${encodeForm(name)}=${encodeForm(value)}`).join("&");
    }
  }
  class URL {
    #parts: UrlParts;
    #params: URLSearchParams | undefined;
    constructor(text: unknown, base?: unknown) {
      const parts = host.url(toText(text), base === undefined ? undefined : toText(base));
      if (parts === undefined) throw new RealmTypeError(`Invalid URL: ${toText(text)}`);
      this.#parts = parts;
    }
    static canParse(text: unknown, base?: unknown): boolean {
      return host.url(toText(text), base === undefined ? undefined : toText(base)) !== undefined;
    }
    static {
      const names = [
        "href",
        "origin",
        "protocol",
        "username",
        "password",
        "host",
        "hostname",
        "port",
        "pathname",
      ];
      for (const name of [...names, "search", "hash"]) {
        defineProperty(URL.prototype, name, {
          get(this: URL) {
            return this.#parts[name];
          },
          ...(name === "origin"
            ? {}
            : {
                set(this: URL, value: unknown) {
                  this.#change(name, value);
                },
              }),
          configurable: true,
          enumerable: true,
        });
      }
    }
    #change(name: string, value: unknown): void {
      const parts = host.url(this.#parts["href"] as string, undefined, [name, toText(value)]);
      if (parts === undefined) throw new RealmTypeError("Invalid URL");
      this.#parts = parts;
      this.#params = undefined;
    }
    get searchParams(): URLSearchParams {
      this.#params ??= new URLSearchParams(this.#parts["search"], (query) => {
        const params = this.#params;
        this.#change("search", query);
        this.#params = params;
      });
      return this.#params;
    }
    toString(): string {
      return this.#parts["href"] as string;
    }
    toJSON(): string {
      return this.#parts["href"] as string;
    }
  }
  expose("URL", URL);
  expose("URLSearchParams", URLSearchParams);

  /** Objects whose members others inherit: their data members become accessors, so that own members can be set. */
  const repairOverrides = (prototype: object): void => {
    for (const key of ownKeys(prototype)) {
      if (typeof key !== "string" || key === "then" || key === "exec") continue;
      const own = getOwnPropertyDescriptor(prototype, key);
      if (own === undefined || !("value" in own) || !own.configurable) continue;
      const { value } = own;
      if (key === "constructor" && (prototype === Promise.prototype || prototype === RegExp.prototype))
        continue;
      defineProperty(prototype, key, {
        get: () => value,
        set(this: object, next: unknown) {
          if (this === prototype) throw new RealmTypeError(`Cannot change ${key} of an intrinsic`);
          defineProperty(this, key, { value: next, writable: true, enumerable: true, configurable: true });
        },
        enumerable: own.enumerable ?? false,
        configurable: false,
      });
    }
  };
  const freezeIntrinsics = (): void => {
    const seen = new Set<object>();
    const prototypes: object[] = [];
    const pending: unknown[] = [
      function* () {},
      async () => {},
      async function* () {},
      (function* () {})(),
      (async function* () {})(),
      [][Symbol.iterator](),
      new RealmMap()[Symbol.iterator](),
      new Set()[Symbol.iterator](),
      ""[Symbol.iterator](),
      "".matchAll(/(?:)/g),
      () => {},
    ];
    for (const key of ownKeys(global)) pending.push(getOwnPropertyDescriptor(global, key)?.value);
    while (pending.length > 0) {
      const next = pending.pop();
      if ((typeof next !== "object" && typeof next !== "function") || next === null) continue;
      if (next === global || seen.has(next)) continue;
      seen.add(next);
      pending.push(getPrototypeOf(next));
      for (const key of ownKeys(next)) {
        const own = getOwnPropertyDescriptor(next, key);
        if (own === undefined) continue;
        const { value } = own;
        if (
          key === "prototype" &&
          ((typeof value === "object" && value !== null) || value === Function.prototype)
        ) {
          prototypes.push(value);
        }
        pending.push(own.value, own.get, own.set);
      }
    }
    for (const prototype of prototypes) repairOverrides(prototype);
    for (const value of seen) {
      // A typed array can't be frozen; those of the set-up are not reachable.
      if (!isView(value)) freeze(value);
    }
  };

  let baseline = new RealmMap<PropertyKey, PropertyDescriptor>();
  const remember = (): void => {
    baseline = new RealmMap();
    for (const key of ownKeys(global)) {
      const own = getOwnPropertyDescriptor(global, key);
      if (own !== undefined) baseline.set(key, own);
    }
  };
  const same = Object.is;
  const restore = (): void => {
    if (timers.size > 0) for (const id of timers.keys()) clearTimer(id);
    const keys = ownKeys(global);
    let known = 0;
    for (const key of keys) {
      const was = baseline.get(key);
      if (was === undefined) {
        if (!deleteProperty(global, key)) global[key] = undefined;
        continue;
      }
      known++;
      if (!same(was.value, global[key]) && was.get === undefined) defineProperty(global, key, was);
    }
    if (known === baseline.size) return;
    for (const [key, was] of baseline) {
      if (getOwnPropertyDescriptor(global, key) === undefined) defineProperty(global, key, was);
    }
  };

  return {
    bytes: (length) => new RealmUint8Array(length),
    call: (fn, subject, payload) =>
      apply(fn as (subject: string, payload: Uint8Array) => unknown, global, [subject, payload]),
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
    freeze: freezeIntrinsics,
    remember,
    restore,
    makeError: (text) => new RealmError(text),
  };
}
