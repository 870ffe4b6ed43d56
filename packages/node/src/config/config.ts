/** The node's configuration file: the keys of Go Nex and ours. */
import { readFile } from "node:fs/promises";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { checkJson } from "@nexengine/protocol/formats";
import { checkLimits, parseEgressRule } from "@nexengine/protocol/messages";
import { z } from "zod";
import { isAddressRule } from "../host-services/addresses.ts";
import { hostServicesSchema } from "../host-services/settings.ts";
import { autostartSchema } from "./autostart.ts";
import { historySchema } from "./history.ts";
import { httpSchema } from "./http.ts";
import { idleKeys } from "./idle-keys.ts";
import { keyWarnings } from "./key-warnings.ts";
import {
  limitsOfWorkloadsSchema,
  namespacesSchema,
  nodeLimitsSchema,
  publicKeysSchema,
  rulesOf,
  streamNamesSchema,
  subjectsSchema,
} from "./namespaces.ts";

/** A token bucket: its size in bytes or operations, and the time in ms in which it refills. */
const rateLimiterSchema = z.object({
  size: z.number().int().min(1),
  refill_time: z.number().int().min(1),
  one_time_burst: z.number().int().min(0).optional(),
});

const waitForNatsMsMax = 86_400_000;

const configSchema = z.object({
  ...idleKeys,
  /** Machine size for workloads that ask for none. */
  machine_template: z
    .object({
      vcpu_count: z.number().int().min(1).max(1_024).optional(),
      // From the needs of an agent up to the maximum that `limits` may name.
      memsize_mib: z
        .number()
        .int()
        .min(64)
        .max(2 ** 30)
        .optional(),
    })
    .optional(),
  /** File with the pid of the running node; none when absent. */
  pid_filepath: z.string().min(1).optional(),
  /** Number of warm machines. */
  machine_pool_size: z.number().int().min(1).max(256).default(1),
  workload_types: z
    .array(z.enum(["native", "v8", "wasm"]))
    .min(1)
    .default(["native", "v8", "wasm"]),
  tags: z.record(z.string(), z.string()).default({}),
  node_limits: nodeLimitsSchema.prefault({}),
  /** Empty means every issuer. */
  valid_issuers: publicKeysSchema.default([]),
  deny_trigger_subjects: subjectsSchema.default([]),
  /** Streams, also those of buckets, that no trigger may use. A last `*` stands for any rest of the name. */
  deny_trigger_streams: streamNamesSchema.default([]),
  /** Subjects besides inboxes to which functions may reply on the node's own connection. */
  reply_subjects: subjectsSchema.default([]),
  /** Namespaces that share the node. All are accepted when absent. */
  namespaces: namespacesSchema.optional(),
  /** Connection of host services for namespaces without one; the node's own when it names none. */
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
      /** Maximum size of the source of a JavaScript function. */
      max_source_bytes: z.number().int().min(1_024).max(268_435_456).default(5_242_880),
      /** Maximum number of waiting calls of one function. */
      max_queued_calls: z.number().int().min(1).max(1_000_000).default(1_024),
    })
    .prefault({}),
  /** Private addresses to which functions may send HTTP requests. */
  http_allow: z.array(z.string().refine(isAddressRule, "is neither a network nor host:port")).default([]),
  /** Servers that a per-request connection may name. */
  request_connections: z.enum(["node-servers", "any"]).default("node-servers"),
  /** A token by which the nexus's owner vouches for this node. */
  endorsement: z.string().min(1).optional(),
  /** Public keys that may end the node. */
  operators: publicKeysSchema.default([]),
  /** Whether lame duck mode needs an operator. In Go Nex, anybody who may publish there can ask for it. */
  lameduck_requires_operator: z.boolean().default(false),
  /** Whether only bound tokens are accepted. */
  require_bound_claims: z.boolean().default(false),
  /** Time that NATS may take to be there when the node starts. With 0, the node fails at once. */
  wait_for_nats_ms: z.number().int().min(0).max(waitForNatsMsMax).default(0),
  agent_handshake_timeout_ms: z.number().int().min(100).max(600_000).default(5_000),
  no_sandbox: z.boolean().optional(),
  sandbox: z.enum(["auto", "process", "container", "qemu", "firecracker"]).optional(),
  /** Workloads that the node starts by itself, each like any deploy. */
  autostart: autostartSchema.optional(),
  /** Directory of state that survives a crash. */
  state_directory: z.string().min(1).optional(),
  /** Where copies of accepted deploys are kept beside the state directory, so that they survive its disk. */
  durable: z.enum(["kv"]).optional(),
  /** Replicas of the buckets that `durable` creates. */
  durable_replicas: z.number().int().min(1).max(5).default(1),
  container: z
    .object({
      /** The OCI runtime: name or path of a program. */
      runtime: z.string().min(1).default("runc"),
      /** Directory of rootfs trees. Every user of the host must be able to reach it. */
      rootfs_directory: z.string().min(1).optional(),
    })
    .prefault({}),
  qemu: z
    .object({
      /** The host's virtualization, or slow emulation, which works everywhere. */
      accel: z.enum(["kvm", "tcg"]).default("kvm"),
      /** QEMU: name or path of a program. */
      program: z.string().min(1).default("qemu-system-x86_64"),
      /** Boot files; beside the rootfs trees when absent. */
      kernel: z.string().min(1).optional(),
      initramfs: z.string().min(1).optional(),
      /** An image made by `nex rootfs`; the node builds one when absent. */
      image: z.string().min(1).optional(),
    })
    .prefault({}),
  firecracker: z
    .object({
      /** Firecracker and its jailer: names or paths; the installed ones when absent. */
      program: z.string().min(1).optional(),
      jailer: z.string().min(1).optional(),
      /** Boot files; beside the rootfs trees when absent. */
      kernel: z.string().min(1).optional(),
      initramfs: z.string().min(1).optional(),
      /** An image made by `nex rootfs`; the node builds one when absent. */
      image: z.string().min(1).optional(),
    })
    .prefault({}),
  /** Limits on disk I/O of a Firecracker machine. */
  rate_limiters: z
    .object({ bandwidth: rateLimiterSchema.optional(), iops: rateLimiterSchema.optional() })
    .optional(),
  limits: limitsOfWorkloadsSchema.prefault({}),
  /** Listener for HTTP requests to functions; none when absent. */
  http: httpSchema.optional(),
  /** Streams that keep logs and events. */
  history: historySchema.prefault({}),
  /** Address of the host on which published ports listen. */
  publish_address: z.string().min(1).default("127.0.0.1"),
});

/** The configuration, complete. */
export type NodeConfig = z.infer<typeof configSchema>;
/** The configuration as written: every key is optional. */
export type NodeConfigInput = z.input<typeof configSchema>;

/** A configuration file. */
export interface ConfigFile {
  config: NodeConfig;
  /** A line for each key without effect. */
  warnings: string[];
}

/**
 * Completes a configuration with defaults.
 *
 * @throws NexError `config_invalid` that names the key, also for a restrictive key without effect.
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

/** Refuses default limits that no deploy could get. */
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

/** Removes `null` members: they mean absent. */
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
    // Only the position is shown: the parser's text quotes the content, which can hold a secret.
    const place = /at position \d+.*$/.exec(errorText(cause))?.[0];
    throw new NexError(
      "config_invalid",
      `Cannot use the configuration file "${path}": it is not JSON${place === undefined ? "" : `, ${place}`}`,
    );
  }
  const config = completeConfig(input, `the configuration file "${path}"`);
  return { config, warnings: keyWarnings(input, configSchema) };
}
