/**
 * JSON as Go's decoder takes it: names match without regard to case, `null` is the zero value, unknown members pass
 * by. Our own members stand below `nex` and are strict.
 */
import { z } from "zod";
import { type ErrorCode, NexError } from "./errors.ts";

/** Bodies over this size are refused before they are parsed. */
export const requestBytesMax = 262_144;
/** Bodies that are nested deeper are refused. */
export const jsonDepthMax = 32;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** A string; Go's decoder accepts nothing else for one. */
export const goString = z.string();

/** An object of the reference: names without regard to case, `null` as absent, unknown members dropped. */
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
 * @param what The head of the message of a refusal, e.g. `Unable to deserialize deploy request`.
 * @throws NexError `request_too_large`, `malformed_request`
 */
export function parseJson<T>(
  bytes: Uint8Array,
  schema: z.ZodType<T>,
  what: string,
  bytesMax = requestBytesMax,
): T {
  if (bytes.length > bytesMax) {
    throw new NexError(
      "request_too_large",
      `${what}: body has ${bytes.length} bytes, at most ${bytesMax} are read`,
    );
  }
  return checkJson(parseJsonText(bytes, what), schema, what);
}

/** Checks a parsed value against a schema; as `parseJson` for what it throws. */
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

function parseJsonText(bytes: Uint8Array, what: string): unknown {
  if (bytes.length === 0) throw new NexError("malformed_request", `${what}: unexpected end of JSON input`);
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    // The parser's own text may quote the body, which can hold a secret.
    throw new NexError("malformed_request", `${what}: the body is not JSON`);
  }
  if (isDeeperThan(value, jsonDepthMax)) {
    throw new NexError("malformed_request", `${what}: the body is nested deeper than ${jsonDepthMax}`);
  }
  return value;
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  return Object.values(value).some((member) => isDeeperThan(member, levels - 1));
}
