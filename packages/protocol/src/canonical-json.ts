/**
 * One text for each JSON value, so that a digest can be signed: the form of RFC 8785. What has no one meaning (two
 * members of a name, names that differ in their case alone, half of a surrogate pair) has no such form.
 */
import { NexError } from "./errors.ts";

/** Deeper values are refused. */
const depthMax = 64;

/** A JSON value that was read strictly. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = { [name: string]: JsonValue };

/**
 * Reads a JSON text strictly.
 *
 * @throws NexError `request_not_canonical` where the text is not JSON, or has no one meaning.
 */
export function parseStrictJson(text: string): JsonValue {
  const reader = new StrictReader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

/**
 * Writes a value in the form of RFC 8785: no white space, members in the order of their names' UTF-16 units, numbers
 * and strings as ECMAScript writes them.
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
/** What is between quotes; whether that is a string of JSON is JSON.parse's to say. */
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
    // Without a prototype, so that no name means anything.
    const object: JsonObject = Object.create(null) as JsonObject;
    const folded = new Set<string>();
    this.#list("{", "}", () => {
      this.#match(spacePattern);
      const name = this.#string();
      const fold = name.toLowerCase();
      if (folded.has(fold)) throw refused("a name stands twice in one object");
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
    if (!text.isWellFormed()) throw refused("a text has half of a surrogate pair");
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
  return new NexError("request_not_canonical", `Cannot read the request for its signature: ${why}`);
}
