/** DEPLOY and STOP. */
import { z } from "zod";
import { NexError } from "../errors.ts";
import { goObject } from "../go-json.ts";
import { locationSchema } from "../go-url.ts";
import { type Feature, features, nodeFeatures } from "./features.ts";
import { checkLimits, limitsSchema } from "./limits.ts";
import { publishedSchema } from "./node.ts";

export const argvCountMax = 256;
export const argumentBytesMax = 32_768;
export const descriptionBytesMax = 4_096;
export const triggerSubjectsMax = 64;
export const concurrencyMax = 1024;
/** Machines of one workload on one node. */
export const replicasMax = 64;

/** A NATS connection that a request brings along. */
export const connectionSchema = goObject({
  nats_url: z.string().optional(),
  nats_user_jwt: z.string().optional(),
  nats_user_seed: z.string().optional(),
});
export type RequestConnection = z.infer<typeof connectionSchema>;

/** Does it say anything? The reference's clients send empty texts for nothing. */
export function saysConnection(connection: RequestConnection | undefined): connection is RequestConnection {
  return [connection?.nats_url, connection?.nats_user_jwt, connection?.nats_user_seed].some(Boolean);
}

/** When a machine of a workload that has ended is replaced. */
export const restartSchema = z.strictObject({
  policy: z.enum(["never", "on-failure", "always"]),
  /** Of one machine, all in all; the node's own bound within a time when absent. */
  max_restarts: z.number().int().min(0).max(1_000_000).optional(),
  /** Before the first restart; it doubles with each. */
  backoff_ms: z.number().int().min(1).max(600_000).optional(),
});
export type Restart = z.infer<typeof restartSchema>;

/**
 * Our members of a DEPLOY. Strict: a member or a value that this version does not know is refused, because a client
 * relies on it.
 */
export const deployExtrasSchema = z.strictObject({
  version: z.literal(1),
  requires: z.array(z.string()).max(64).optional(),
  globals: z.enum(["fresh", "keep"]).optional(),
  concurrency: z.number().int().min(1).max(concurrencyMax).optional(),
  replicas: z.number().int().min(1).max(replicasMax).optional(),
  /** Wins over `essential`. */
  restart: restartSchema.optional(),
  limits: limitsSchema.optional(),
  /** A box, see `SealedRequest`. */
  sealed: z.string().min(1).optional(),
  /** Id of a workload that ends once this one runs. */
  replace: z.string().min(1).max(256).optional(),
});
export type DeployExtras = z.infer<typeof deployExtrasSchema>;

/**
 * A DEPLOY as it came. What the reference requires is optional here: admission refuses what is missing, by name.
 */
export const deployRequestSchema = goObject({
  argv: z.array(z.string().max(argumentBytesMax)).max(argvCountMax).optional(),
  description: z.string().max(descriptionBytesMax).optional(),
  type: z.string().max(64).optional(),
  location: locationSchema.optional(),
  essential: z.boolean().optional(),
  workload_jwt: z.string().optional(),
  environment: z.string().optional(),
  jsdomain: z.string().max(256).optional(),
  sender_public_key: z.string().optional(),
  target_node: z.string().max(256).optional(),
  trigger_subjects: z.array(z.string()).max(triggerSubjectsMax).optional(),
  trigger_connection: connectionSchema.optional(),
  host_services: connectionSchema.optional(),
  retry_count: z.number().int().min(0).optional(),
  retried_at: z.string().optional(),
  nex: z.unknown().optional(),
});
export type DeployRequest = z.infer<typeof deployRequestSchema>;

/**
 * Our members of a DEPLOY, checked against what this node can do.
 *
 * @throws NexError `feature_missing`, `limits_invalid`
 */
export function parseDeployExtras(value: unknown): DeployExtras {
  if (value === undefined) return { version: 1 };
  const result = deployExtrasSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    const at = ["nex", ...(issue?.path ?? [])].join(".");
    if (issue?.path[0] === "limits" && issue.code !== "unrecognized_keys") {
      throw new NexError("limits_invalid", `Cannot accept the request: ${at}: ${issue.message}`);
    }
    const keys = issue?.code === "unrecognized_keys" ? ` (${issue.keys.slice(0, 4).join(", ")})` : "";
    throw new NexError(
      "feature_missing",
      `Cannot accept the request: ${at} has a member or value that this node does not know${keys}`,
    );
  }
  for (const name of result.data.requires ?? []) {
    if (!nodeFeatures.includes(name as Feature)) {
      const known = features.includes(name as Feature) ? "does not have" : "does not know";
      throw new NexError(
        "feature_missing",
        `Cannot accept the request: it requires "${name}", which this node ${known}`,
      );
    }
  }
  if (result.data.limits !== undefined) checkLimits(result.data.limits);
  return result.data;
}

/** The answer to a DEPLOY that was accepted. */
export const runResponseSchema = goObject({
  started: z.boolean(),
  id: z.string(),
  issuer: z.string().optional().default(""),
  name: z.string().optional().default(""),
  nex: z
    .object({
      version: z.literal(1),
      published: z.array(publishedSchema).optional(),
      /** Machines that were asked for, and those that run. */
      replicas: z.number().int().optional(),
      ready: z.number().int().optional(),
    })
    .optional()
    .catch(undefined),
});
export type RunResponse = z.infer<typeof runResponseSchema>;

export const stopRequestSchema = goObject({
  workload_id: z.string().max(256).optional(),
  workload_jwt: z.string().optional(),
  target_node: z.string().max(256).optional(),
});
export type StopRequest = z.infer<typeof stopRequestSchema>;

/** The answer to a STOP that was carried out. */
export const stopResponseSchema = goObject({
  stopped: z.boolean(),
  id: z.string(),
  issuer: z.string().optional().default(""),
  name: z.string().optional().default(""),
});
export type StopResponse = z.infer<typeof stopResponseSchema>;

/** What the reference's client signs instead of the artifact's digest. */
export const placeholderHash = "abc12345TODOmakethisreal";
const digestPattern = /^[0-9a-f]{64}$/i;

/** The signed SHA-256 of the artifact in lower-case hex, when the claim has that form. */
export function signedDigest(hash: string | undefined): string | undefined {
  return hash !== undefined && digestPattern.test(hash) ? hash.toLowerCase() : undefined;
}

/** Headers of the error reply of a function, and their codes. */
export const errorHeader = "Nats-Service-Error";
export const errorCodeHeader = "Nats-Service-Error-Code";
