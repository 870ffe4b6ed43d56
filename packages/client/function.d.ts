/**
 * Types for functions: their arguments, and the globals that only they have. `import type` them, so that nothing is left
 * of them in the function's one file.
 */

/**
 * A function.
 *
 * @param subject The concrete subject of the message.
 * @param payload The bytes of the message.
 * @returns the reply: bytes as they are, `undefined` as an empty reply, all else as JSON. Only calls on a subject and
 * over HTTP have a reply.
 */
export type NexFunction = (subject: string, payload: Uint8Array, call: Call) => unknown;

/** The third argument of a function. */
export interface Call {
  /** Headers of the request. */
  readonly headers: Headers;
  /** Headers of the reply. `Nex-Http-Status` sets the status of an answer over HTTP. */
  readonly replyHeaders: Headers;
  /** The trigger of the call. Its object is frozen. */
  readonly trigger: Trigger;
}

/** Headers of a message. Names are compared without regard to case. */
export interface Headers extends Iterable<[name: string, value: string]> {
  /** The first value; `undefined` when there is none. */
  get(name: string): string | undefined;
  getAll(name: string): string[];
  has(name: string): boolean;
  /** Takes the place of all values that are there. @throws TypeError for a name or value that no header can have */
  set(name: string, value: string): void;
  /** Adds a value beside those that are there. @throws TypeError for a name or value that no header can have */
  append(name: string, value: string): void;
  delete(name: string): void;
}

/** The trigger of a call: `switch (call.trigger.type)` tells the kinds apart. */
export type Trigger =
  | SubjectTrigger
  | StreamTrigger
  | KeyTrigger
  | ObjectTrigger
  | ScheduleTrigger
  | HttpTrigger;

export interface SubjectTrigger {
  readonly type: "subject";
  /** Name of the trigger; absent when several triggers could have taken the subject. */
  readonly name?: string;
  readonly subject: string;
}

/** A delivery of a message that a stream keeps until it is settled. */
export interface Delivery {
  /** Name of the trigger. */
  readonly name: string;
  /** Number of the message in its stream: the same at each attempt. */
  readonly sequence: number;
  /** Number of the attempt, from 1 on. */
  readonly delivery: number;
  /** Time at which the stream stored the message, in ms since 1970. */
  readonly timeMs: number;
  /** Number of messages that wait behind this one. */
  readonly pending: number;
}

export interface StreamTrigger extends Delivery {
  readonly type: "stream";
  readonly stream: string;
}

export interface KeyTrigger extends Delivery {
  readonly type: "kv";
  readonly bucket: string;
  readonly key: string;
  readonly operation: "put" | "delete" | "purge" | "expired";
  /** Revision of the key. */
  readonly revision: number;
}

export interface ObjectTrigger extends Delivery {
  readonly type: "object";
  readonly bucket: string;
  readonly operation: "put" | "delete";
  /** The object. Compare `nuid`: the object may have been replaced since. */
  readonly object: {
    readonly name?: string;
    readonly nuid?: string;
    readonly digest?: string;
    /** Size in bytes. */
    readonly size?: number;
  };
}

export interface ScheduleTrigger extends Delivery {
  readonly type: "cron";
  readonly schedule: string;
  readonly zone: string;
  /** Time for which the tick was planned, in ms since 1970. */
  readonly plannedMs?: number;
}

export interface HttpTrigger {
  readonly type: "http";
  /** Name of the trigger. */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  /** The query without its question mark; empty when there is none. */
  readonly query: string;
  readonly host: string;
  readonly scheme: string;
  /** Address of the client. */
  readonly client: string;
  readonly route: string;
  /** Parts of the path that the route names. */
  readonly params: Readonly<Record<string, string | undefined>>;
}

/**
 * Properties that an error can have, for messages that a stream keeps:
 * `throw Object.assign(new Error("…"), { retry: false } satisfies RetryWish)`.
 */
export type RetryWish =
  /** The message is never tried again. */
  | { retry: false }
  /** It is tried again after this time, 0 to 86,400,000 ms. */
  | { retryAfterMs: number };

/** A value that a host service takes: bytes as they are, a text as UTF-8. */
export type Value = Uint8Array | ArrayBuffer | string;

/** Host services. Each call waits for its answer. @throws HostServiceError */
export interface HostServices {
  readonly kv: {
    get(key: string): Uint8Array;
    set(key: string, value: Value): void;
    delete(key: string): void;
    keys(): string[];
  };
  readonly objectStore: {
    get(name: string): Uint8Array;
    put(name: string, value: Value): StoredObject;
    delete(name: string): void;
    list(): StoredObject[];
  };
  readonly messaging: {
    publish(subject: string, payload: Value): void;
    request(subject: string, payload: Value, options?: { timeoutMs?: number }): Uint8Array;
    requestMany(
      subject: string,
      payload: Value,
      options?: { timeoutMs?: number; max?: number },
    ): Uint8Array[];
  };
  readonly http: {
    get(url: string, options?: HttpOptions): HttpResponse;
    head(url: string, options?: HttpOptions): HttpResponse;
    post(url: string, body?: Value | null, options?: HttpOptions): HttpResponse;
    put(url: string, body?: Value | null, options?: HttpOptions): HttpResponse;
    patch(url: string, body?: Value | null, options?: HttpOptions): HttpResponse;
    delete(url: string, body?: Value | null, options?: HttpOptions): HttpResponse;
  };
  /** The same with promises. */
  readonly promises: Promised<Omit<HostServices, "promises">>;
}

type Promised<Services> = {
  readonly [Service in keyof Services]: {
    readonly [Method in keyof Services[Service]]: Services[Service][Method] extends (
      ...args: infer Arguments
    ) => infer Result
      ? (...args: Arguments) => Promise<Result>
      : never;
  };
};

/** A failed call of a host service. The class is no global: compare `error.name`. */
export interface HostServiceError extends Error {
  readonly name: "HostServiceError";
  /** A code as HTTP has them: 404 when there is nothing, 408 when no answer came in time. */
  readonly code: number;
}

export interface StoredObject {
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  readonly [more: string]: unknown;
}

export interface HttpOptions {
  headers?: Record<string, string>;
  timeoutMs?: number;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Record<string, string>;
  /** The body as text. */
  readonly response: string;
  readonly body: Uint8Array;
}

declare global {
  /** Host services of the function's node. */
  const hostServices: HostServices;
  /** The environment of the deploy. */
  const env: Readonly<Record<string, string | undefined>>;
}
