/**
 * JSON as Go's decoder accepts it: names match case-insensitively, `null` means the zero value, unknown members are
 * ignored. Our own members are below `nex` and are strict.
 */
import { z } from "zod";
import { type ErrorCode, NexError } from "../errors.ts";

/** Maximum size of a request body, checked before parsing. */
export const requestBytesMax = 262_144;
/** Maximum nesting depth of a body. */
export const jsonDepthMax = 32;
/** Maximum number of values in a body. The cost of parsing depends on the number of values more than on bytes. */
export const jsonValuesMax = 8_192;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** A string. Go's decoder converts no other type to one. */
export const goString = z.string();

/** An object of Go Nex's protocol: case-insensitive names, `null` as absent, unknown members dropped. */
export function goObject<S extends z.core.$ZodLooseShape>(shape: S) {
  const names = new Map(Object.keys(shape).map((name) => [name.toLowerCase(), name]));
  return z.preprocess((value) => foldMembers(value, names), z.object(shape));
}

function foldMembers(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const folded: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    const name = names.get(key.toLowerCase());
    if (name !== undefined && member !== null) folded[name] = member;
  }
  return folded;
}

/**
 * Parses bytes from the wire against a schema.
 *
 * @param what Start of the error message, e.g. `Unable to deserialize deploy request`.
 * @throws NexError `request_too_large`, `malformed_request`
 */
export function parseJson<T>(
  bytes: Uint8Array,
  schema: z.ZodType<T>,
  what: string,
  bytesMax = requestBytesMax,
  valuesMax = jsonValuesMax,
): T {
  if (bytes.length > bytesMax) {
    throw new NexError(
      "request_too_large",
      `${what}: body has ${bytes.length} bytes, at most ${bytesMax} are read`,
    );
  }
  return checkJson(parseJsonText(bytes, what, valuesMax), schema, what);
}

/** Checks a parsed value against a schema. Throws the same errors as `parseJson`. */
export function checkJson<T>(value: unknown, schema: z.ZodType<T>, what: string): T {
  // Go leaves a struct at its zero value when the body is `null`.
  const result = schema.safeParse(value === null ? {} : value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const at = issue?.path.join(".") ?? "";
  throw new NexError(codeOf(issue), `${what}: ${at === "" ? "" : `${at}: `}${issue?.message ?? "not valid"}`);
}

function codeOf(issue: z.core.$ZodIssue | undefined): ErrorCode {
  const code = issue?.code === "custom" ? issue.params?.["code"] : undefined;
  if (code === "feature_missing") return code;
  return issue?.code === "too_big" ? "request_too_large" : "malformed_request";
}

function parseJsonText(bytes: Uint8Array, what: string, valuesMax: number): unknown {
  if (bytes.length === 0) throw new NexError("malformed_request", `${what}: unexpected end of JSON input`);
  checkShape(bytes, what, valuesMax);
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    // The parser's own message may quote the body, which can hold a secret.
    throw new NexError("malformed_request", `${what}: the body is not JSON`);
  }
}

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Refuses deep nesting and too many values before parsing: both cost far more time than bytes do. Malformed JSON is
 * left to the parser.
 */
function checkShape(bytes: Uint8Array, what: string, valuesMax: number): void {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case quote:
        at = endOfString(bytes, at + 1);
        break;
      case comma:
        values++;
        break;
      case openBracket:
      case openBrace:
        depth++;
        values++;
        break;
      case closeBracket:
      case closeBrace:
        depth--;
        break;
    }
    if (depth > jsonDepthMax)
      throw new NexError("malformed_request", `${what}: the body is nested deeper than ${jsonDepthMax}`);
    if (values > valuesMax)
      throw new NexError("request_too_large", `${what}: the body has more than ${valuesMax} values`);
  }
}

/** @returns the index of the closing quote, or the end of the bytes. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    if (bytes[at] === backslash) at++;
    else if (bytes[at] === quote) return at;
  }
  return bytes.length;
}
