/** The node's configuration file: the reference's keys and ours. */
import { readFile } from "node:fs/promises";
import {
  checkJson,
  errorText,
  isPublicKey,
  isSubscribableSubject,
  limitsSchema,
  NexError,
} from "@nexengine/protocol/internal";
import { z } from "zod";

const count = z.number().int().min(0);
const publicKey = z.string().refine((key) => isPublicKey(key), "is not a public nkey");
const subject = z.string().refine(isSubscribableSubject, "is not a NATS subject");

const configSchema = z.object({
  /** Ready machines that wait for a deploy. */
  machine_pool_size: z.number().int().min(1).max(256).default(1),
  workload_types: z
    .array(z.enum(["native", "v8"]))
    .min(1)
    .default(["native", "v8"]),
  tags: z.record(z.string(), z.string()).default({}),
  /** 0 is no limit. */
  node_limits: z
    .object({
      max_workloads: count.default(0),
      max_total_bytes: count.default(0),
      max_workload_bytes: count.default(0),
    })
    .prefault({}),
  /** Empty: every issuer. */
  valid_issuers: z.array(publicKey).default([]),
  deny_trigger_subjects: z.array(subject).default([]),
  agent_handshake_timeout_ms: z.number().int().min(100).max(600_000).default(5_000),
  no_sandbox: z.boolean().optional(),
  sandbox: z.enum(["auto", "process", "container", "qemu", "firecracker"]).optional(),
  /** Where the node keeps what outlives a crash of it. */
  state_directory: z.string().min(1).optional(),
  container: z
    .object({
      /** The OCI runtime: a program's name or path. */
      runtime: z.string().min(1).default("runc"),
      /** Where rootfs trees are kept; every user of the host must be able to reach it. */
      rootfs_directory: z.string().min(1).optional(),
    })
    .prefault({}),
  /** What a workload gets that asks for nothing, and the most that any gets. */
  limits: z.object({ default: limitsSchema.default({}), max: limitsSchema.default({}) }).prefault({}),
  /** The host's address at which published ports of machines listen. */
  publish_address: z.string().min(1).default("127.0.0.1"),
});

/** The configuration, complete. */
export type NodeConfig = z.infer<typeof configSchema>;
/** The configuration as it is written, every key optional. */
export type NodeConfigInput = z.input<typeof configSchema>;

/**
 * Completes a configuration.
 *
 * @throws NexError `config_invalid` that names the key.
 */
export function completeConfig(input: unknown, what = "the configuration"): NodeConfig {
  try {
    return checkJson(input, configSchema, `Cannot use ${what}`);
  } catch (cause) {
    throw new NexError("config_invalid", errorText(cause), { cause });
  }
}

/** The keys that a configuration has and this node does not act on. */
export function unknownKeys(input: unknown): string[] {
  if (typeof input !== "object" || input === null) return [];
  return Object.keys(input).filter((key) => !Object.hasOwn(configSchema.shape, key));
}

/**
 * Reads a configuration file.
 *
 * @throws NexError `file_not_found`, `config_invalid`
 */
export async function readConfigFile(path: string): Promise<{ config: NodeConfig; unknown: string[] }> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new NexError(
      "file_not_found",
      `Cannot read the configuration file "${path}": ${errorText(cause)}`,
      { cause },
    );
  }
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (cause) {
    throw new NexError("config_invalid", `Cannot use the configuration file "${path}": ${errorText(cause)}`, {
      cause,
    });
  }
  return { config: completeConfig(input, `the configuration file "${path}"`), unknown: unknownKeys(input) };
}
