/** PING, AUCTION, WPING, INFO and LAMEDUCK: requests and answers about nodes. */
import { z } from "zod";
import { goObject } from "../formats/go-json.ts";
import { workloadNameBytesMax } from "../subjects/names.ts";
import { nodeExtrasSchema, sandboxes } from "./features.ts";
import { limitsSchema } from "./limits.ts";
import { triggerStatusSchema } from "./triggers.ts";

const workloadTypes = ["native", "v8", "oci", "wasm"] as const;
/** Type of a workload, as the wire names it. */
export type WorkloadType = (typeof workloadTypes)[number];
/** Types of workloads that run when a trigger fires. */
export const functionTypes: ReadonlySet<string> = new Set<WorkloadType>(["v8", "wasm"]);

const tagsSchema = z.record(z.string(), z.string());
/** Tags of a node by name. */
export type Tags = z.infer<typeof tagsSchema>;

/** Maximum number of tags in a request. */
export const askedTagsMax = 128;
/** Maximum number of workload types in a request. */
export const askedTypesMax = 16;

/** `z.record` can't limit the number of members. */
const askedTagsSchema = tagsSchema.superRefine((tags, context) => {
  if (Object.keys(tags).length <= askedTagsMax) return;
  context.addIssue({
    code: "too_big",
    origin: "object",
    maximum: askedTagsMax,
    message: `Too big: expected at most ${askedTagsMax} tags`,
  });
});

/** Our members of an AUCTION. A node that can't meet them, or does not know them, does not bid. */
const auctionExtrasSchema = z.strictObject({
  version: z.literal(1),
  limits: limitsSchema.optional(),
  /** Weakest acceptable kind of sandbox. */
  sandbox: z.enum(sandboxes).optional(),
  namespace: z.string().max(64).optional(),
  /** Public key of the issuer. */
  issuer: z.string().max(64).optional(),
  artifact_bytes: z.number().int().min(0).optional(),
});

/** Requirements of a workload; an absent member requires nothing. */
export const auctionRequestSchema = goObject({
  arch: z.string().optional(),
  os: z.string().optional(),
  sandboxed: z.boolean().optional(),
  tags: askedTagsSchema.optional(),
  workload_types: z.array(z.string()).max(askedTypesMax).optional(),
  nex: auctionExtrasSchema.optional(),
});
/** An AUCTION: requirements of a workload. */
export type AuctionRequest = z.infer<typeof auctionRequestSchema>;

const nodeFacts = {
  node_id: z.string(),
  target_xkey: z.string(),
  version: z.string().optional().default(""),
  uptime: z.string().optional().default(""),
  tags: tagsSchema.optional(),
  nex: nodeExtrasSchema.optional().catch(undefined),
};

/** Answer to PING, and bid in an auction. */
export const pingResponseSchema = goObject({
  ...nodeFacts,
  nexus: z.string().optional(),
  running_machines: z.number().int().optional().default(0),
});
/** Answer to PING, and bid in an auction. */
export type PingResponse = z.infer<typeof pingResponseSchema>;

/** Maximum number of reasons in an answer. */
export const bidReasonsMax = 16;

/** Answer of a node that explains whether it would bid. */
export const auctionWhyResponseSchema = goObject({
  node_id: z.string(),
  bids: z.boolean(),
  reasons: z
    .array(z.object({ code: z.string().max(64), text: z.string().max(512) }))
    .max(bidReasonsMax)
    .optional()
    .default([]),
});
export type AuctionWhyResponse = z.infer<typeof auctionWhyResponseSchema>;

/** Answer to WPING: the matching workloads. */
export const workloadPingResponseSchema = goObject({
  ...nodeFacts,
  running_machines: z.array(
    goObject({
      id: z.string(),
      namespace: z.string().optional().default(""),
      name: z.string().optional().default(""),
      type: z.string().optional().default(""),
    }),
  ),
});
/** Answer to WPING. */
export type WorkloadPingResponse = z.infer<typeof workloadPingResponseSchema>;

/** A published port of a machine, and its address on the node's host. */
export const publishedSchema = z.object({
  machine_port: z.number().int(),
  host: z.string(),
  host_port: z.number().int(),
});
export type Published = z.infer<typeof publishedSchema>;

const quantilesSchema = z.object({ p50: z.number(), p99: z.number() });

/** A node's counters of the calls of a function. */
const countersSchema = z.object({
  calls: z.number(),
  /** By error code. */
  failures: z.record(z.string(), z.number()),
  /** Machines started for the function. */
  cold_starts: z.number(),
  /** Run time of its code. */
  run_ns: quantilesSchema,
  /** Waiting time of calls. */
  queue_ns: quantilesSchema,
});
export type Counters = z.infer<typeof countersSchema>;

const recentLineSchema = z.object({
  time_ms: z.number(),
  level: z.string(),
  text: z.string(),
});

/** Our members of a workload in INFO. */
const machineExtrasSchema = z.object({
  version: z.literal(1),
  /** `running`, `restarting` or `draining`. */
  state: z.string().optional(),
  /** Why it does not plainly run, for people; absent when it does. */
  reason: z.string().optional(),
  /** Whether all its machines run and pass their health check; absent without a health check. */
  healthy: z.boolean().optional().catch(undefined),
  /** Set while it restarts again and again: restarts without a calm spell, and the time since the first of them. */
  crash_loop: z.object({ restarts: z.number().int(), span_ms: z.number() }).optional().catch(undefined),
  /** Time until the next attempt to start a machine of it. */
  next_attempt_ms: z.number().optional().catch(undefined),
  /** Last log lines of a workload in a crash loop, oldest first. */
  lines: z.array(recentLineSchema).optional().catch(undefined),
  /** Number of replaced machines. */
  restarts: z.number().int().optional(),
  /** Number of running machines. */
  machines: z.number().int().optional(),
  counters: countersSchema.optional(),
  /** Triggers of a function. */
  triggers: z.array(triggerStatusSchema).optional().catch(undefined),
  published: z.array(publishedSchema).optional(),
});

/** A node's members about a workload beyond those of Go Nex, under `nex`. */
export type MachineExtras = z.infer<typeof machineExtrasSchema>;

const machineSchema = goObject({
  id: z.string(),
  healthy: z.boolean().optional().default(true),
  uptime: z.string().optional().default(""),
  namespace: z.string().optional(),
  workload: goObject({
    name: z.string(),
    description: z.string().optional(),
    runtime: z.string().optional().default(""),
    type: z.string().optional().default(""),
    hash: z.string().optional().default(""),
  }),
  nex: machineExtrasSchema.optional().catch(undefined),
});
/** A workload in INFO. */
export type MachineInfo = z.infer<typeof machineSchema>;

/** Maximum number of log lines in an answer. */
export const tailLinesMax = 200;

/** Our members of an INFO request; Go Nex's has none. Unknown members are ignored, because INFO changes nothing. */
const infoExtrasSchema = z.object({
  version: z.literal(1),
  /** Id of the last workload on the previous page; this page starts after it. */
  after: z.string().max(64).optional(),
  /** Omits running workloads, for clients that only need data about the node. */
  node_only: z.boolean().optional(),
  /** Includes exited workloads. */
  ended: z.boolean().optional(),
  /** Number of latest log lines to include, of all workloads or of one. */
  tail: z.number().int().min(1).max(tailLinesMax).optional(),
  /** Id or name of the workload whose log lines are requested. */
  workload: z.string().max(workloadNameBytesMax).optional(),
});

/** Body of an INFO request. */
export const infoRequestSchema = goObject({ nex: infoExtrasSchema.optional() });
export type InfoRequest = z.infer<typeof infoRequestSchema>;

/** Body of an INFO that asks about the node alone. Its answer does not grow with the number of workloads. */
export const nodeOnlyInfo = JSON.stringify({ nex: { version: 1, node_only: true } });

/** A log line in the node's memory. */
const tailLineSchema = recentLineSchema.extend({ id: z.string(), name: z.string() });
export type TailLine = z.infer<typeof tailLineSchema>;

/** An exited workload, which a node remembers for a while. */
export const endedWorkloadSchema = z.object({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  started_ms: z.number(),
  ended_ms: z.number(),
  /** Exit status; -1 for a signal or an unknown status. */
  code: z.number().int(),
  reason: z.string(),
  /** Last log lines, oldest first. */
  lines: z.array(recentLineSchema).optional().default([]),
});
export type EndedWorkload = z.infer<typeof endedWorkloadSchema>;

/** Answer to INFO; memory is in kB. */
export const infoResponseSchema = goObject({
  version: z.string().optional().default(""),
  uptime: z.string().optional().default(""),
  public_xkey: z.string(),
  tags: tagsSchema.optional(),
  memory: z.object({ total: z.number(), free: z.number(), available: z.number() }).optional(),
  machines: z.array(machineSchema).optional().default([]),
  supported_workload_types: z.array(z.string()).optional(),
  nex: nodeExtrasSchema
    .extend({
      /** Set if there are more workloads. Pass it as `after` to get the next page. */
      next: z.string().optional(),
      /** Latest exit first. */
      ended: z.array(endedWorkloadSchema).optional(),
      /** Latest line last. */
      lines: z.array(tailLineSchema).optional(),
    })
    .optional()
    .catch(undefined),
});
/** Answer to INFO. */
export type InfoResponse = z.infer<typeof infoResponseSchema>;

/** Strict, because an operator may rely on a member that this version does not know. */
const lameDuckExtrasSchema = z.strictObject({
  version: z.literal(1),
  /** Token of an operator. With it, the node lets its workloads finish and shuts down. */
  token: z.string(),
});

/** Body of a LAMEDUCK request; Go Nex's is empty. */
export const lameDuckRequestSchema = goObject({ nex: lameDuckExtrasSchema.optional() });
export type LameDuckRequest = z.infer<typeof lameDuckRequestSchema>;

export const lameDuckResponseSchema = goObject({ node_id: z.string(), success: z.boolean() });
export type LameDuckResponse = z.infer<typeof lameDuckResponseSchema>;
