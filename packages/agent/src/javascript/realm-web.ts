/** `TextEncoder`, `TextDecoder`, `URL` and `URLSearchParams` of a realm's own, over what the agent lends. */
import type { RealmHost, UrlParts, WebTools } from "./realm-types.ts";

/** Handed over as source text: it must not refer to anything outside itself. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its parts can't stand outside of it
export function makeWebTools(host: RealmHost): WebTools {
  const { defineProperty } = Reflect;
  const RealmUint8Array = Uint8Array;
  const RealmTypeError = TypeError;
  const toText = String;
  const { isView } = ArrayBuffer;
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
        // Errors that the agent throws stay in the agent.
      }
      if (text === undefined) throw new RealmTypeError(`The bytes can't be decoded as ${this.#label}`);
      return text;
    }
  }

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
  return { TextEncoder, TextDecoder, URL, URLSearchParams };
}
