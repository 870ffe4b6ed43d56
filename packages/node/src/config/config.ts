/** The node's configuration file: the reference's keys and ours. */
import { readFile } from "node:fs/promises";
import { checkJson, checkLimits, errorText, NexError, parseEgressRule } from "@nexengine/protocol/internal";
import { z } from "zod";
import { isAddressRule } from "../host-services/addresses.ts";
import { hostServicesSchema } from "../host-services/settings.ts";
import { autostartSchema } from "./autostart.ts";
import { idleKeys } from "./idle-keys.ts";
import { keyWarnings } from "./key-warnings.ts";
import {
  limitsOfWorkloadsSchema,
  namespacesSchema,
  nodeLimitsSchema,
  publicKeysSchema,
  rulesOf,
  subjectsSchema,
} from "./namespaces.ts";

/** A bucket that is filled up in a time of milliseconds; its size is in bytes or operations. */
const rateLimiterSchema = z.object({
  size: z.number().int().min(1),
  refill_time: z.number().int().min(1),
  one_time_burst: z.number().int().min(0).optional(),
});

const configSchema = z.object({
  ...idleKeys,
  /** What a machine gets where its workload asks for nothing. */
  machine_template: z
    .object({
      vcpu_count: z.number().int().min(1).max(1_024).optional(),
      // As little as an agent itself needs, and the most that `limits` may name.
      memsize_mib: z
        .number()
        .int()
        .min(64)
        .max(2 ** 30)
        .optional(),
    })
    .optional(),
  /** Where the number of the node's process stands while it runs; no file when absent. */
  pid_filepath: z.string().min(1).optional(),
  /** Ready machines that wait for a deploy. */
  machine_pool_size: z.number().int().min(1).max(256).default(1),
  workload_types: z
    .array(z.enum(["native", "v8", "wasm"]))
    .min(1)
    .default(["native", "v8", "wasm"]),
  tags: z.record(z.string(), z.string()).default({}),
  node_limits: nodeLimitsSchema.prefault({}),
  /** Empty: every issuer. */
  valid_issuers: publicKeysSchema.default([]),
  deny_trigger_subjects: subjectsSchema.default([]),
  /** Subjects beside inboxes to which functions may reply on the node's own connection. */
  reply_subjects: subjectsSchema.default([]),
  /** Who shares the node; every namespace is taken when absent, else those that are listed. */
  namespaces: namespacesSchema.optional(),
  /** The connection of host services where a namespace has none of its own; the node's when it says nothing. */
  host_services: z
    .object({
      nats_url: z.string().optional(),
      nats_user_jwt: z.string().optional(),
      nats_user_seed: z.string().optional(),
      services: hostServicesSchema,
    })
    .prefault({}),
  functions: z
    .object({
      /** The source text of a JavaScript function. */
      max_source_bytes: z.number().int().min(1_024).max(268_435_456).default(5_242_880),
      /** Calls of one function that wait; further ones are answered with an error. */
      max_queued_calls: z.number().int().min(1).max(1_000_000).default(1_024),
    })
    .prefault({}),
  /** Addresses of the inside to which functions may send HTTP requests. */
  http_allow: z.array(z.string().refine(isAddressRule, "is neither a network nor host:port")).default([]),
  /** Which servers a connection may name that a request brings along. */
  request_connections: z.enum(["node-servers", "any"]).default("node-servers"),
  /** A token by which the nexus's owner vouches for this node. */
  endorsement: z.string().min(1).optional(),
  /** Public keys of those who may end the node. */
  operators: publicKeysSchema.default([]),
  /** The reference's way into lame duck mode, which everybody has who may publish there, is shut. */
  lameduck_requires_operator: z.boolean().default(false),
  /** Only tokens that are bound to their requests are accepted, none of the reference's. */
  require_bound_claims: z.boolean().default(false),
  agent_handshake_timeout_ms: z.number().int().min(100).max(600_000).default(5_000),
  no_sandbox: z.boolean().optional(),
  sandbox: z.enum(["auto", "process", "container", "qemu", "firecracker"]).optional(),
  /** What the node starts by itself, each like any deploy. */
  autostart: autostartSchema.optional(),
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
  qemu: z
    .object({
      /** How machines get their processors: by the host's own, or by slow emulation, which works everywhere. */
      accel: z.enum(["kvm", "tcg"]).default("kvm"),
      /** QEMU: a program's name or path. */
      program: z.string().min(1).default("qemu-system-x86_64"),
      /** What machines boot; beside the rootfs trees when absent. */
      kernel: z.string().min(1).optional(),
      initramfs: z.string().min(1).optional(),
      /** An image that `nex rootfs` has written; the node builds its own when absent. */
      image: z.string().min(1).optional(),
    })
    .prefault({}),
  firecracker: z
    .object({
      /** Firecracker and its jailer: names or paths of programs; those that are installed when absent. */
      program: z.string().min(1).optional(),
      jailer: z.string().min(1).optional(),
      /** What machines boot; beside the rootfs trees when absent. */
      kernel: z.string().min(1).optional(),
      initramfs: z.string().min(1).optional(),
      /** An image that `nex rootfs` has written; the node builds its own when absent. */
      image: z.string().min(1).optional(),
    })
    .prefault({}),
  /** The most that goes through the disk of a machine of Firecracker. */
  rate_limiters: z
    .object({ bandwidth: rateLimiterSchema.optional(), iops: rateLimiterSchema.optional() })
    .optional(),
  limits: limitsOfWorkloadsSchema.prefault({}),
  /** The host's address at which published ports of machines listen. */
  publish_address: z.string().min(1).default("127.0.0.1"),
});

/** The configuration, complete. */
export type NodeConfig = z.infer<typeof configSchema>;
/** The configuration as it is written, every key optional. */
export type NodeConfigInput = z.input<typeof configSchema>;

/** A configuration file's content. */
export interface ConfigFile {
  config: NodeConfig;
  /** A line for each key that changes nothing. */
  warnings: string[];
}

/**
 * Completes a configuration.
 *
 * @throws NexError `config_invalid` that names the key, also where a key that would shut something is not acted on.
 */
export function completeConfig(input: unknown, what = "the configuration"): NodeConfig {
  let config: NodeConfig;
  try {
    config = checkJson(withoutNulls(input), configSchema, `Cannot use ${what}`);
  } catch (cause) {
    throw new NexError("config_invalid", errorText(cause), { cause });
  }
  if (config.no_sandbox === true && (config.sandbox ?? "process") !== "process") {
    throw new NexError(
      "config_invalid",
      `Cannot use ${what}: no_sandbox and sandbox "${config.sandbox}" contradict each other`,
      { advice: 'Keep one of them; no_sandbox means: "sandbox": "process"' },
    );
  }
  checkLists(config, what);
  return config;
}

/** What a deploy with these limits would be refused for, no deploy could be given by default. */
function checkLists(config: NodeConfig, what: string): void {
  check("limits", config.limits);
  for (const name of Object.keys(config.namespaces ?? {})) {
    check(`namespaces.${name}.limits`, rulesOf(config, name).limits);
  }

  function check(key: string, limits: NodeConfig["limits"]): void {
    let at = `${key}.default`;
    try {
      checkLimits(limits.default);
      at = `${key}.max.egress_allow`;
      for (const entry of limits.max.egress_allow ?? []) parseEgressRule(entry);
    } catch (cause) {
      throw new NexError("config_invalid", `Cannot use ${what}: ${at}: ${errorText(cause)}`, { cause });
    }
  }
}

/** A member that is `null` is as good as absent. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(members.map(([key, member]) => [key, withoutNulls(member)]));
}

/**
 * Reads a configuration file.
 *
 * @throws NexError `file_not_found`, `config_invalid`
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
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
    // Without a place the parser quotes the content, which can hold a secret.
    const place = /at position \d+.*$/.exec(errorText(cause))?.[0];
    throw new NexError(
      "config_invalid",
      `Cannot use the configuration file "${path}": it is not JSON${place === undefined ? "" : `, ${place}`}`,
    );
  }
  const config = completeConfig(input, `the configuration file "${path}"`);
  return { config, warnings: keyWarnings(input, configSchema) };
}
