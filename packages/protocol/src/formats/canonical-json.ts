/**
 * Canonical JSON (RFC 8785), so that a digest can be signed. Ambiguous input has no canonical form: duplicate names,
 * names that differ only in case, and lone surrogates.
 */
import { NexError } from "../errors.ts";

/** Maximum nesting depth. */
const depthMax = 64;

/** A strictly parsed JSON value. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = { [name: string]: JsonValue };

/**
 * Parses a JSON text strictly.
 *
 * @throws NexError `request_not_canonical` if the text is not JSON, or is ambiguous.
 */
export function parseStrictJson(text: string): JsonValue {
  const reader = new StrictReader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

/**
 * Serializes a value as RFC 8785 requires: no white space, members sorted by the UTF-16 code units of their names,
 * numbers and strings as ECMAScript writes them.
 */
export function canonicalJson(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name] as JsonValue)}`);
  return `{${members.join(",")}}`;
}

const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** Matches the extent of a string; `JSON.parse` decides whether it is valid. */
const stringPattern = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y;
const spacePattern = /[ \t\r\n]*/y;
const words: readonly (readonly [string, null | boolean])[] = [
  ["null", null],
  ["true", true],
  ["false", false],
];

class StrictReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): JsonValue {
    if (depth > depthMax) throw refused(`it is nested deeper than ${depthMax}`);
    this.#match(spacePattern);
    const next = this.#text[this.#at];
    if (next === "{") return this.#object(depth);
    if (next === "[") return this.#array(depth);
    if (next === '"') return this.#string();
    for (const [word, value] of words) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    const number = Number(this.#match(numberPattern) || Number.NaN);
    if (!Number.isFinite(number)) throw refused(`it is not JSON at position ${this.#at}`);
    return number;
  }

  end(): void {
    this.#match(spacePattern);
    if (this.#at < this.#text.length) throw refused(`it is not JSON at position ${this.#at}`);
  }

  #object(depth: number): JsonObject {
    // No prototype, so that no member name has a special meaning.
    const object: JsonObject = Object.create(null) as JsonObject;
    const folded = new Set<string>();
    this.#list("{", "}", () => {
      this.#match(spacePattern);
      const name = this.#string();
      const fold = name.toLowerCase();
      if (folded.has(fold)) throw refused("an object has two members of the same name");
      folded.add(fold);
      this.#demand(":");
      object[name] = this.value(depth + 1);
    });
    return object;
  }

  #array(depth: number): JsonValue[] {
    const array: JsonValue[] = [];
    this.#list("[", "]", () => void array.push(this.value(depth + 1)));
    return array;
  }

  #list(open: string, close: string, item: () => void): void {
    this.#demand(open);
    this.#match(spacePattern);
    if (this.#text[this.#at] === close) {
      this.#at++;
      return;
    }
    for (;;) {
      item();
      this.#match(spacePattern);
      const next = this.#text[this.#at++];
      if (next === close) return;
      if (next !== ",") throw refused(`it is not JSON at position ${this.#at - 1}`);
    }
  }

  #string(): string {
    const startedAt = this.#at;
    let text: string;
    try {
      text = JSON.parse(this.#match(stringPattern)) as string;
    } catch {
      throw refused(`it is not JSON at position ${startedAt}`);
    }
    if (!text.isWellFormed()) throw refused("a string has a lone surrogate");
    return text;
  }

  #demand(character: string): void {
    this.#match(spacePattern);
    if (this.#text[this.#at] !== character) throw refused(`it is not JSON at position ${this.#at}`);
    this.#at++;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }
}

function refused(why: string): NexError {
  return new NexError("request_not_canonical", `Cannot digest the request for its signature: ${why}`);
}
