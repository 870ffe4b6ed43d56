/** The third argument of a function: the trigger, the headers of the request, and those of the reply. */
import type { CallContexts, RealmHost } from "./realm-types.ts";

/** Handed over as source text: it must not refer to anything outside itself. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its parts can't stand outside of it
export function makeCallContexts(host: RealmHost): CallContexts {
  const { freeze } = Object;
  const { parse } = JSON;
  const { setPrototypeOf } = Reflect;
  const RealmTypeError = TypeError;
  const toText = String;
  const { test } = RegExp.prototype;
  const { apply } = Reflect;
  const { push, join, slice: sliceOf } = Array.prototype;
  const { toLowerCase, split, indexOf, slice, trim } = String.prototype;
  const iteratorOf = Array.prototype[Symbol.iterator];
  const nameForm = /^[!-9;-~]+$/;
  const valueForm = /^[^\r\n\0]*$/;
  const same = (a: string, b: string): boolean =>
    a === b || apply(toLowerCase, a, []) === apply(toLowerCase, b, []);

  let isEmpty: (headers: CallHeaders) => boolean;
  let pairsOf: (headers: CallHeaders) => [name: string, value: string][];
  let replyHeadersOf: (context: CallContext) => CallHeaders | undefined;

  /** Pairs of names and values, in their order; names are compared without regard to case. */
  class CallHeaders {
    #block: string | undefined;
    #pairs: [name: string, value: string][] | undefined;

    constructor(block?: string) {
      this.#block = block;
    }

    #list(): [name: string, value: string][] {
      if (this.#pairs !== undefined) return this.#pairs;
      const pairs: [string, string][] = [];
      const lines = this.#block === undefined ? [] : (apply(split, this.#block, ["\r\n"]) as string[]);
      // The first line says NATS/1.0.
      for (let at = 1; at < lines.length; at++) {
        const line = lines[at] as string;
        const colon = apply(indexOf, line, [":"]) as number;
        if (colon <= 0) continue;
        apply(push, pairs, [
          [apply(slice, line, [0, colon]), apply(trim, apply(slice, line, [colon + 1]), [])],
        ]);
      }
      this.#pairs = pairs;
      this.#block = undefined;
      return pairs;
    }

    static {
      isEmpty = (headers) => headers.#pairs === undefined || headers.#pairs.length === 0;
      pairsOf = (headers) => headers.#list();
    }

    /** The first value; `undefined` when there is none. */
    get(name: string): string | undefined {
      const pairs = this.#list();
      for (let at = 0; at < pairs.length; at++) {
        const pair = pairs[at] as [string, string];
        if (same(pair[0], toText(name))) return pair[1];
      }
      return undefined;
    }

    /** All values of a name. */
    getAll(name: string): string[] {
      const values: string[] = [];
      const pairs = this.#list();
      for (let at = 0; at < pairs.length; at++) {
        const pair = pairs[at] as [string, string];
        if (same(pair[0], toText(name))) apply(push, values, [pair[1]]);
      }
      return values;
    }

    has(name: string): boolean {
      return this.get(name) !== undefined;
    }

    /** Adds a value beside those that are there. */
    append(name: string, value: unknown): void {
      const pair: [string, string] = [toText(name), toText(value)];
      if (!apply(test, nameForm, [pair[0]]))
        throw new RealmTypeError(`"${pair[0]}" can't be the name of a header`);
      if (!apply(test, valueForm, [pair[1]]))
        throw new RealmTypeError(`The value of the header ${pair[0]} has a line break`);
      apply(push, this.#list(), [pair]);
    }

    /** Takes the place of all values that are there. */
    set(name: string, value: unknown): void {
      const kept = apply(sliceOf, this.#list(), []) as [string, string][];
      this.delete(name);
      try {
        this.append(name, value);
      } catch (error) {
        this.#pairs = kept;
        throw error;
      }
    }

    delete(name: string): void {
      const pairs = this.#list();
      const kept: [string, string][] = [];
      for (let at = 0; at < pairs.length; at++) {
        const pair = pairs[at] as [string, string];
        if (!same(pair[0], toText(name))) apply(push, kept, [pair]);
      }
      this.#pairs = kept;
    }

    [Symbol.iterator](): IterableIterator<[string, string]> {
      const copy: [string, string][] = [];
      const pairs = this.#list();
      for (let at = 0; at < pairs.length; at++) {
        const pair = pairs[at] as [string, string];
        apply(push, copy, [[pair[0], pair[1]]]);
      }
      return apply(iteratorOf, copy, []);
    }
  }

  class CallContext {
    #headers: CallHeaders | string | undefined;
    #replyHeaders: CallHeaders | undefined;
    /** The agent's name for the call, until the function has asked for the trigger. */
    #call: unknown;
    #trigger: object | undefined;

    constructor(block: string | undefined, call: unknown) {
      this.#headers = block;
      this.#call = call;
    }

    /** The trigger of the call. */
    get trigger(): object {
      if (this.#trigger !== undefined) return this.#trigger;
      const trigger = parse(host.trigger(this.#call)) as { type: string; object: object; params: object };
      if (trigger.type === "object") freeze(trigger.object);
      if (trigger.type === "http") {
        // Names of a route must not meet those of every object.
        setPrototypeOf(trigger.params, null);
        freeze(trigger.params);
      }
      this.#trigger = freeze(trigger);
      this.#call = undefined;
      return trigger;
    }

    /** Headers of the request. */
    get headers(): CallHeaders {
      if (typeof this.#headers !== "object") this.#headers = new CallHeaders(this.#headers);
      return this.#headers;
    }

    /** Headers of the reply. */
    get replyHeaders(): CallHeaders {
      this.#replyHeaders ??= new CallHeaders();
      return this.#replyHeaders;
    }

    static {
      replyHeadersOf = (context) => context.#replyHeaders;
    }
  }
  for (const made of [CallHeaders, CallContext]) {
    freeze(made.prototype);
    freeze(made);
  }

  return {
    make: (block, call) => new CallContext(block, call),
    replyHeaders: (context) => {
      const headers = replyHeadersOf(context as CallContext);
      if (headers === undefined || isEmpty(headers)) return undefined;
      const lines = ["NATS/1.0"];
      const pairs = pairsOf(headers);
      for (let at = 0; at < pairs.length; at++) {
        const pair = pairs[at] as [string, string];
        apply(push, lines, [`${pair[0]}: ${pair[1]}`]);
      }
      apply(push, lines, ["", ""]);
      return apply(join, lines, ["\r\n"]);
    },
  };
}
