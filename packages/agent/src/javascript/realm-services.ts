/** `hostServices`: what a function may ask of its node, as the Go Nex has it, and the same with promises. */
import type { HostServiceTools, RealmHost } from "./realm-types.ts";

/** Handed over as source text: it must not refer to anything outside itself. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its parts can't stand outside of it
export function makeHostServices(host: RealmHost): HostServiceTools {
  const { freeze, create } = Object;
  const { apply, defineProperty, ownKeys } = Reflect;
  const RealmError = Error;
  const RealmTypeError = TypeError;
  const RealmPromise = Promise;
  const RealmUint8Array = Uint8Array;
  const { parse, stringify } = JSON;
  const isView = ArrayBuffer.isView;
  const toText = String;
  const { push } = Array.prototype;
  const setBytes = RealmUint8Array.prototype.set;
  const bufferTag = ArrayBuffer.prototype.slice;

  class HostServiceError extends RealmError {
    readonly code: number;
    constructor(code: number, text: string) {
      super(text);
      this.code = code;
    }
  }
  defineProperty(HostServiceError.prototype, "name", {
    value: "HostServiceError",
    writable: true,
    configurable: true,
  });

  type Reply = ReturnType<RealmHost["hostCall"]>;

  /** Bytes of the agent's, as the realm's own. */
  const own = (bytes: Uint8Array): Uint8Array => {
    const copy = new RealmUint8Array(bytes.length);
    apply(setBytes, copy, [bytes]);
    return copy;
  };
  const resultOf = (reply: Reply): unknown => {
    if (reply.kind === "nothing") return undefined;
    if (reply.kind === "bytes") return own(reply.bytes);
    if (reply.kind === "json") return parse(reply.text);
    if (reply.kind === "error") throw new HostServiceError(reply.code, reply.text);
    const items: Uint8Array[] = [];
    for (let at = 0; at < reply.items.length; at++) apply(push, items, [own(reply.items[at] as Uint8Array)]);
    return items;
  };

  const isBuffer = (value: unknown): value is ArrayBuffer => {
    try {
      apply(bufferTag, value, [0, 0]);
      return true;
    } catch {
      return false;
    }
  };
  /** A text goes as UTF-8, binary as it is. */
  const bytesOf = (value: unknown, what: string): Uint8Array | string => {
    if (typeof value === "string") return value;
    if (isView(value)) return new RealmUint8Array(value.buffer, value.byteOffset, value.byteLength);
    if (typeof value === "object" && value !== null && isBuffer(value)) return new RealmUint8Array(value);
    throw new RealmTypeError(`${what} must be a Uint8Array, an ArrayBuffer or a text`);
  };
  const optionsOf = (value: unknown): string => {
    if (value === undefined || value === null) return "";
    if (typeof value !== "object") throw new RealmTypeError("The options must be an object");
    return stringify(value) ?? "";
  };

  type Arguments = readonly unknown[];
  type Build = (args: Arguments) => (Uint8Array | string)[];
  type Read = (reply: Reply) => unknown;
  const named =
    (missing: string): Build =>
    (args) => {
      if (args.length < 1) throw new HostServiceError(400, missing);
      return [toText(args[0])];
    };
  const withValue =
    (missing: string, what: string): Build =>
    (args) => {
      if (args.length < 2) throw new HostServiceError(400, missing);
      return [toText(args[0]), bytesOf(args[1], what)];
    };
  const withOptions =
    (build: Build): Build =>
    (args) => {
      const built = build(args);
      apply(push, built, [optionsOf(args[2])]);
      return built;
    };
  const none: Build = () => [];
  const http = (method: string, hasBody: boolean): Build => {
    return (args) => {
      if (args.length < 1) throw new HostServiceError(400, "url is required");
      const body = !hasBody || args[1] === undefined || args[1] === null ? "" : bytesOf(args[1], "The body");
      return [method, toText(args[0]), body, optionsOf(args[hasBody ? 2 : 1])];
    };
  };
  const response: Read = (reply) => {
    if (reply.kind !== "list") return resultOf(reply);
    const [head, body] = reply.items as [Uint8Array, Uint8Array];
    const { status, headers } = parse(host.decodeUtf8("utf-8", false, false, head)) as {
      status: number;
      headers: Record<string, string>;
    };
    return { status, headers, response: host.decodeUtf8("utf-8", false, false, body), body: own(body) };
  };

  // The numbers are those of HostMethod.
  const kv = "key and value are required";
  const object = "name and value are required";
  const message = "subject and payload are required";
  const methods: Record<string, Record<string, readonly [method: number, build: Build, read?: Read]>> = {
    kv: {
      get: [1, named("key is required")],
      set: [2, withValue(kv, "The value")],
      delete: [3, named("key is required")],
      keys: [4, none],
    },
    objectStore: {
      get: [16, named("name is required")],
      put: [17, withValue(object, "The value")],
      delete: [18, named("name is required")],
      list: [19, none],
    },
    messaging: {
      publish: [32, withValue(message, "The payload")],
      request: [33, withOptions(withValue(message, "The payload"))],
      requestMany: [34, withOptions(withValue(message, "The payload"))],
    },
    http: {
      get: [48, http("GET", false), response],
      head: [48, http("HEAD", false), response],
      post: [48, http("POST", true), response],
      put: [48, http("PUT", true), response],
      patch: [48, http("PATCH", true), response],
      delete: [48, http("DELETE", true), response],
      del: [48, http("DELETE", true), response],
    },
  };

  /** Answers to a call of the function that has ended are dropped. */
  let generation = 0;
  const blocking: Record<string, unknown> = create(null);
  const promising: Record<string, unknown> = create(null);
  for (const service of ownKeys(methods) as string[]) {
    const direct: Record<string, unknown> = create(null);
    const later: Record<string, unknown> = create(null);
    for (const [name, [method, build, read = resultOf]] of Object.entries(methods[service] ?? {})) {
      direct[name] = freeze((...args: unknown[]) => read(host.hostCall(method, build(args))));
      later[name] = freeze((...args: unknown[]) => {
        const asked = generation;
        return new RealmPromise((resolve, reject) => {
          host.hostCallLater(method, build(args), (reply) => {
            if (asked !== generation) return;
            try {
              resolve(read(reply));
            } catch (error) {
              reject(error);
            }
          });
        });
      });
    }
    blocking[service] = freeze(direct);
    promising[service] = freeze(later);
  }
  blocking["promises"] = freeze(promising);
  freeze(HostServiceError.prototype);
  return {
    hostServices: freeze(blocking),
    endCall: () => {
      generation++;
    },
  };
}
