/** Types of everything that passes between the agent and a function's realm. */

/** Functions that the agent lends to a realm. */
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
  /** JSON of what is known of a call's trigger. @param call As the agent gave it to `callContext`. */
  trigger(call: unknown): string;
  uncaught(text: string): void;
  /** Calls a host service and waits. Texts go as UTF-8. */
  hostCall(method: number, args: readonly (Uint8Array | string)[]): RealmHostReply;
  /** Calls a host service; \`done\` hears of the answer later. */
  hostCallLater(
    method: number,
    args: readonly (Uint8Array | string)[],
    done: (reply: RealmHostReply) => void,
  ): void;
}
/** The answer of a host service. It holds the agent's objects, which must not reach the function's code. */
export type RealmHostReply =
  | { kind: "nothing" }
  | { kind: "bytes"; bytes: Uint8Array }
  | { kind: "json"; text: string }
  | { kind: "list"; items: readonly Uint8Array[] }
  | { kind: "error"; code: number; text: string };

export type UrlParts = Record<string, string>;

/** The next attempt after an error: never, a delay in ms as the function gave it, or not said. */
export type RetryWish = false | number | undefined;

/** Functions that a realm gives to the agent. */
export interface RealmApi {
  /** A `Uint8Array` of the realm with room for so many bytes. */
  bytes(length: number): Uint8Array;
  /** Calls a function with the realm's global as `this`. */
  call(fn: unknown, subject: string, payload: Uint8Array, context: object): unknown;
  /**
   * The third argument of a call, with the headers of the request.
   *
   * @param call Goes back to the agent when the function asks for its trigger, and never to the function.
   */
  callContext(headers: string | undefined, call: unknown): object;
  /** The block of headers that a call has set for its reply. */
  replyHeaders(context: object): string | undefined;
  /** Waits for a value that may be a promise, or a thenable. */
  settle(value: unknown, done: (value: unknown) => void, failed: (error: unknown) => void): void;
  /** JSON of a value; `undefined` where it has none. */
  stringify(value: unknown): string | undefined;
  /** The thrown value as text: short for the caller, long for the log. */
  describe(error: unknown): { short: string; long: string };
  /** How the thrown value wants to be tried again. */
  retryOf(error: unknown): RetryWish;
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

/** Keeps a realm's globals from one call to the next. */
export interface GlobalsKeeper {
  /** Freezes the intrinsics. */
  freeze(): void;
  /** Takes the globals as they are for what \`restore\` returns to. */
  remember(): void;
  /** Puts them back. */
  restore(): void;
}

/** The host services, made in the realm. */
export interface HostServiceTools {
  readonly hostServices: object;
  /** Answers that come after this to what was asked before are dropped. */
  endCall(): void;
}

/** The third argument of a function, made in the realm. */
export interface CallContexts {
  make(headers: string | undefined, call: unknown): object;
  replyHeaders(context: object): string | undefined;
}

/** Classes for text and URLs, made in the realm. */
export type WebTools = Record<"TextEncoder" | "TextDecoder" | "URL" | "URLSearchParams", unknown>;
