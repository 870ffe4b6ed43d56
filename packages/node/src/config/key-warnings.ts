/** Warnings about configuration keys without effect. */
import { printable } from "@nexengine/protocol/subjects";
import { z } from "zod";
import { idleKeys } from "./idle-keys.ts";

/** Names of keys in texts about Go Nex that differ from the real ones. */
const otherNames: Readonly<Record<string, string>> = {
  requester_public_keys: "valid_issuers",
  kernel_path: "kernel_filepath",
  rootfs_path: "rootfs_filepath",
};

/** @returns a line for each unknown key, and for each known key without effect. */
export function keyWarnings(input: unknown, schema: z.ZodType): string[] {
  const given = isObject(input) ? Object.keys(input) : [];
  const idle = given.filter((key) => Object.hasOwn(idleKeys, key));
  return [
    ...unknownKeys(input, schema, ""),
    ...idle.map((key) => `this version does not act on the configuration key "${key}"`),
  ];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function unknownKeys(input: unknown, schema: z.ZodType, path: string): string[] {
  const inner = unwrap(schema);
  if (typeof input !== "object" || input === null) return [];
  if (inner instanceof z.ZodArray) {
    const element = inner.element as z.ZodType;
    return Array.isArray(input)
      ? input.flatMap((item, at) => unknownKeys(item, element, `${path}[${at}]`))
      : [];
  }
  if (inner instanceof z.ZodRecord) {
    const value = inner.valueType as z.ZodType;
    return Object.entries(input).flatMap(([key, item]) => unknownKeys(item, value, join(path, key)));
  }
  if (!(inner instanceof z.ZodObject)) return [];
  const shape = inner.shape as Record<string, z.ZodType>;
  return Object.entries(input).flatMap(([key, item]) => {
    const known = Object.hasOwn(shape, key) ? shape[key] : undefined;
    return known === undefined
      ? [unknownKey(path, key, Object.keys(shape))]
      : unknownKeys(item, known, join(path, key));
  });
}

function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  for (;;) {
    if (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault)
      inner = inner.unwrap() as z.ZodType;
    // A preprocessed value: what comes out of it has the keys.
    else if (inner instanceof z.ZodPipe) inner = inner.out as z.ZodType;
    else return inner;
  }
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function unknownKey(path: string, key: string, known: readonly string[]): string {
  const nearest = (path === "" ? otherNames[key] : undefined) ?? nearestOf(key, known);
  const hint = nearest === undefined ? "" : `; did you mean "${join(path, nearest)}"?`;
  return `unknown configuration key "${printable(join(path, key))}"${hint}`;
}

/** The known key with the smallest edit distance, unless that is too large. */
function nearestOf(key: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map((name) => ({ name, edits: editsBetween(key.toLowerCase(), name) }))
    .sort((a, b) => a.edits - b.edits);
  return best !== undefined && best.edits <= Math.max(2, Math.floor(key.length / 3)) ? best.name : undefined;
}

/** Edit distance of two words. */
function editsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= to.length; j++) {
      const change = (row[j - 1] ?? 0) + (to[j - 1] === letter ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, change));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
