/** Features of a node beyond Go Nex. The list is closed: a name outside it is not a feature. */
import { z } from "zod";

export const features = [
  "bound-claims",
  "sealed-request",
  "limits",
  "replicas",
  "concurrency",
  "globals",
  "restart",
  "replace",
  "health",
  "trigger.subject",
  "trigger.stream",
  "trigger.kv",
  "trigger.object",
  "trigger.cron",
  "trigger.http",
  "trigger-control",
] as const;
/** A capability that a node lists in its answers. */
export type Feature = (typeof features)[number];

/** Features that a node of this version has. */
export const nodeFeatures: readonly Feature[] = [
  "bound-claims",
  "concurrency",
  "globals",
  "health",
  "limits",
  "replace",
  "replicas",
  "restart",
  "sealed-request",
  "trigger-control",
  "trigger.cron",
  "trigger.http",
  "trigger.kv",
  "trigger.object",
  "trigger.stream",
  "trigger.subject",
];

/** Kinds of sandbox on the wire. */
export const sandboxes = ["process", "container", "qemu", "firecracker"] as const;
/** Kind of sandbox of a node. */
export type Sandbox = (typeof sandboxes)[number];

/** Our members of PING, AUCTION and INFO answers. Unknown members of newer nodes are ignored. */
export const nodeExtrasSchema = z.object({
  version: z.literal(1),
  sandbox: z.enum(sandboxes).optional().catch(undefined),
  xkey_proof: z.string().optional(),
  /** Statement of the nexus's owner that the node belongs to it. */
  endorsement: z.string().optional(),
  /** Only in INFO, which has no other member for it. */
  nexus: z.string().optional(),
  features: z.array(z.string()).optional(),
  /** Utilization of processors or memory, whichever is larger, from 0 to 1. */
  load: z.number().min(0).max(1).optional().catch(undefined),
  /** `running` or `lameduck`. */
  state: z.string().optional().catch(undefined),
  /** Machines ready for a deploy. In a bid, only the machines that fit the request. */
  ready_machines: z.number().int().min(0).optional().catch(undefined),
  /** In INFO: maximum artifact size, in bytes, that the node accepts in this namespace. */
  artifact_bytes_max: z.number().int().min(1).optional().catch(undefined),
  /** In INFO: default disk size of a machine, in bytes, including the artifact. */
  disk_bytes_default: z.number().int().min(1).optional().catch(undefined),
});
/** A node's members beyond those of Go Nex, under `nex`. */
export type NodeExtras = z.infer<typeof nodeExtrasSchema>;
