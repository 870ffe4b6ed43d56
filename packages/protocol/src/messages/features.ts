/** What a node can do beyond the reference. A closed list: a name that is not here is no feature. */
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
  "trigger.subject",
  "trigger.stream",
  "trigger.kv",
  "trigger.object",
  "trigger.cron",
  "trigger.http",
] as const;
export type Feature = (typeof features)[number];

/** Those that this version's node has. */
export const nodeFeatures: readonly Feature[] = [
  "bound-claims",
  "concurrency",
  "globals",
  "limits",
  "replace",
  "replicas",
  "restart",
  "sealed-request",
  "trigger.subject",
];

/** The kinds of sandbox on the wire. */
export const sandboxes = ["process", "container", "qemu", "firecracker"] as const;
export type Sandbox = (typeof sandboxes)[number];

/** Our members of PING, AUCTION and INFO answers; what a newer node says beyond them is passed by. */
export const nodeExtrasSchema = z.object({
  version: z.literal(1),
  sandbox: z.enum(sandboxes).optional().catch(undefined),
  xkey_proof: z.string().optional(),
  /** The word of the nexus's owner that the node belongs to it. */
  endorsement: z.string().optional(),
  /** In INFO, which has no other place for it. */
  nexus: z.string().optional(),
  features: z.array(z.string()).optional(),
  /** The larger of processors and memory in use, 0 to 1. */
  load: z.number().min(0).max(1).optional().catch(undefined),
  /** `running` or `lameduck`. */
  state: z.string().optional().catch(undefined),
  /** Machines that wait for a deploy; in a bid those that fit what was asked for. */
  ready_machines: z.number().int().min(0).optional().catch(undefined),
  /** In INFO: bytes of the largest artifact that the node takes in this namespace. */
  artifact_bytes_max: z.number().int().min(1).optional().catch(undefined),
  /** In INFO: what a machine can write where a deploy asks for nothing, its artifact included. */
  disk_bytes_default: z.number().int().min(1).optional().catch(undefined),
});
export type NodeExtras = z.infer<typeof nodeExtrasSchema>;
