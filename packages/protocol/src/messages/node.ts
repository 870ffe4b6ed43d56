/** PING, AUCTION, WPING, INFO and LAMEDUCK: requests and answers about nodes. */
import { z } from "zod";
import { goObject } from "../go-json.ts";
import { nodeExtrasSchema, sandboxes } from "./features.ts";
import { limitsSchema } from "./limits.ts";

export const workloadTypes = ["native", "v8", "oci", "wasm"] as const;
export type WorkloadType = (typeof workloadTypes)[number];
/** The types that run when a trigger fires. */
export const functionTypes: ReadonlySet<string> = new Set<WorkloadType>(["v8", "wasm"]);

export const tagsSchema = z.record(z.string(), z.string());
export type Tags = z.infer<typeof tagsSchema>;

/** A request may ask for so many tags. */
export const askedTagsMax = 128;
/** A request may name so many types of workload. */
export const askedTypesMax = 16;

/** A record knows no upper bound of its own. */
const askedTagsSchema = tagsSchema.superRefine((tags, context) => {
  if (Object.keys(tags).length <= askedTagsMax) return;
  context.addIssue({
    code: "too_big",
    origin: "object",
    maximum: askedTagsMax,
    message: `Too big: expected at most ${askedTagsMax} tags`,
  });
});

/** Our members of an AUCTION: a node that can't meet them, or does not know them, stays silent. */
const auctionExtrasSchema = z.strictObject({
  version: z.literal(1),
  limits: limitsSchema.optional(),
  /** The weakest kind that will do. */
  sandbox: z.enum(sandboxes).optional(),
  namespace: z.string().max(64).optional(),
  /** Public key. */
  issuer: z.string().max(64).optional(),
  artifact_bytes: z.number().int().min(0).optional(),
});

/** What a workload asks of a node; an absent member asks for nothing. */
export const auctionRequestSchema = goObject({
  arch: z.string().optional(),
  os: z.string().optional(),
  sandboxed: z.boolean().optional(),
  tags: askedTagsSchema.optional(),
  workload_types: z.array(z.string()).max(askedTypesMax).optional(),
  nex: auctionExtrasSchema.optional(),
});
export type AuctionRequest = z.infer<typeof auctionRequestSchema>;

const nodeFacts = {
  node_id: z.string(),
  target_xkey: z.string(),
  version: z.string().optional().default(""),
  uptime: z.string().optional().default(""),
  tags: tagsSchema.optional(),
  nex: nodeExtrasSchema.optional().catch(undefined),
};

/** The answer to PING, and a bid in an auction. */
export const pingResponseSchema = goObject({
  ...nodeFacts,
  nexus: z.string().optional(),
  running_machines: z.number().int().optional().default(0),
});
export type PingResponse = z.infer<typeof pingResponseSchema>;

/** So many reasons a node gives. */
export const bidReasonsMax = 16;

/** The answer to an auction's why. */
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

/** The answer to WPING: the workloads that matched. */
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
export type WorkloadPingResponse = z.infer<typeof workloadPingResponseSchema>;

/** A port of a machine, and where it is reached on the node's host. */
export const publishedSchema = z.object({
  machine_port: z.number().int(),
  host: z.string(),
  host_port: z.number().int(),
});
export type Published = z.infer<typeof publishedSchema>;

const quantilesSchema = z.object({ p50: z.number(), p99: z.number() });

/** What a node has counted of a function's calls. */
export const countersSchema = z.object({
  calls: z.number(),
  /** By the code of the error reply. */
  failures: z.record(z.string(), z.number()),
  /** Machines that were started for it. */
  cold_starts: z.number(),
  /** How long its code ran. */
  run_ns: quantilesSchema,
  /** How long calls waited for their turn. */
  queue_ns: quantilesSchema,
});
export type Counters = z.infer<typeof countersSchema>;

/** Our members of a workload in INFO. */
const machineExtrasSchema = z.object({
  version: z.literal(1),
  state: z.string().optional(),
  /** Why a machine of it was replaced last. */
  reason: z.string().optional(),
  /** How often a machine of it was replaced. */
  restarts: z.number().int().optional(),
  /** Machines that run. */
  machines: z.number().int().optional(),
  counters: countersSchema.optional(),
  published: z.array(publishedSchema).optional(),
});

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
/** A workload as INFO lists it. */
export type MachineInfo = z.infer<typeof machineSchema>;

/** Lines that a question can ask for. */
export const tailLinesMax = 200;

/** Our members of an INFO request, which has none in the Go Nex. Unknown members pass by: INFO changes nothing. */
const infoExtrasSchema = z.object({
  version: z.literal(1),
  /** The id of the last workload that an earlier page listed; this page begins behind it. */
  after: z.string().max(64).optional(),
  /** Lists no running workloads: what a deploy needs to know of a node. */
  node_only: z.boolean().optional(),
  /** Lists ended workloads too. */
  ended: z.boolean().optional(),
  /** The latest log lines: how many, of all workloads or of one. */
  tail: z.number().int().min(1).max(tailLinesMax).optional(),
  /** Id or name of the workload whose lines are wanted. */
  workload: z.string().max(64).optional(),
});

/** What an INFO asks for. */
export const infoRequestSchema = goObject({ nex: infoExtrasSchema.optional() });
export type InfoRequest = z.infer<typeof infoRequestSchema>;

/** Body of an INFO that asks about the node alone. Its answer does not grow with the number of workloads. */
export const nodeOnlyInfo = JSON.stringify({ nex: { version: 1, node_only: true } });

const recentLineSchema = z.object({
  time_ms: z.number(),
  level: z.string(),
  text: z.string(),
});

/** A log line that a node has kept. */
export const tailLineSchema = recentLineSchema.extend({ id: z.string(), name: z.string() });
export type TailLine = z.infer<typeof tailLineSchema>;

/** A workload that has ended, which a node remembers for a while. */
export const endedWorkloadSchema = z.object({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  started_ms: z.number(),
  ended_ms: z.number(),
  /** The exit status; -1 for a signal, or where none is known. */
  code: z.number().int(),
  reason: z.string(),
  /** Its last lines, the latest last. */
  lines: z.array(recentLineSchema).optional().default([]),
});
export type EndedWorkload = z.infer<typeof endedWorkloadSchema>;

/** The answer to INFO; memory in kB. */
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
      /** There are further workloads: ask again with this as `after`. */
      next: z.string().optional(),
      /** The latest ended first. */
      ended: z.array(endedWorkloadSchema).optional(),
      /** The latest last. */
      lines: z.array(tailLineSchema).optional(),
    })
    .optional()
    .catch(undefined),
});
export type InfoResponse = z.infer<typeof infoResponseSchema>;

/** Strict: what this version does not know may be something that an operator relies on. */
const lameDuckExtrasSchema = z.strictObject({
  version: z.literal(1),
  /** An operator's; with it the node lets its workloads finish, and ends. */
  token: z.string(),
});

/** What a LAMEDUCK may say; the reference's says nothing. */
export const lameDuckRequestSchema = goObject({ nex: lameDuckExtrasSchema.optional() });
export type LameDuckRequest = z.infer<typeof lameDuckRequestSchema>;

export const lameDuckResponseSchema = goObject({ node_id: z.string(), success: z.boolean() });
export type LameDuckResponse = z.infer<typeof lameDuckResponseSchema>;
