/** Names of workloads and namespaces. */
import { NexError } from "../errors.ts";

/** Allowed workload names; Go Nex prints this pattern in its refusal. */
const workloadNamePattern = /^[a-zA-Z0-9_-]+$/;
export const workloadNameBytesMax = 128;
export const namespaceBytesMax = 64;

/** Namespace of the nodes' own events and logs. Nobody may deploy into it. */
export const systemNamespace = "system";
export const defaultNamespace = "default";

export function isWorkloadName(name: string): boolean {
  return name.length <= workloadNameBytesMax && workloadNamePattern.test(name);
}

/**
 * Whether a name can be a namespace: one subject token of 1 to 64 bytes, without white space, control characters, `.`,
 * `*` or `>`.
 */
export function isNamespace(name: string): boolean {
  return name.length > 0 && Buffer.byteLength(name) <= namespaceBytesMax && !/[\s.*>\p{Cc}]/u.test(name);
}

/**
 * @throws NexError `namespace_invalid`
 */
export function assertNamespace(name: string): void {
  if (!isNamespace(name)) {
    throw new NexError(
      "namespace_invalid",
      `Cannot use "${printable(name)}" as a namespace: it must be 1 to ${namespaceBytesMax} bytes without white space, ".", "*" or ">"`,
    );
  }
}

/** @throws NexError `namespace_invalid`, also for the namespace reserved for nodes */
export function assertDeployNamespace(name: string): void {
  assertNamespace(name);
  if (name.toLowerCase() === systemNamespace) {
    throw new NexError(
      "namespace_invalid",
      `Cannot deploy into the namespace "${name}": it is reserved for nodes`,
    );
  }
}

/**
 * Derives a valid workload name from a file name: the base name without its last extension, with each run of other
 * characters replaced by one `-`. The result is `workload` when nothing is left.
 */
export function workloadNameOfFile(path: string): string {
  const base = path.split(/[/\\]/).findLast((part) => part !== "") ?? "";
  const stem = base.replace(/(?<=.)\.[^.]*$/, "");
  const name = stem
    .normalize("NFKD")
    .replace(/[^a-zA-Z0-9_-]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, workloadNameBytesMax);
  return name === "" ? "workload" : name;
}

/** Makes untrusted text safe and short enough for a message. */
export function printable(text: string, charactersMax = 80): string {
  const clean = text.replace(/[\p{Cc}\u2028\u2029]/gu, "\ufffd");
  return clean.length <= charactersMax ? clean : `${clean.slice(0, charactersMax)}…`;
}

/** A text as part of the name of a bucket, stream or consumer. Characters that a name cannot have are written in hexadecimal. */
export function bucketNamePart(text: string): string {
  return text.replace(/[^\w-]/gu, (character) => `-${Buffer.from(character).toString("hex")}-`);
}
