/** DEPLOY and STOP. */
import { z } from "zod";
import { NexError } from "../errors.ts";
import { goObject } from "../formats/go-json.ts";
import { locationSchema } from "../formats/go-url.ts";
import { type Feature, nodeFeatures } from "./features.ts";
import { healthSchema } from "./health.ts";
import { checkLimits, limitsSchema } from "./limits.ts";
import { publishedSchema } from "./node.ts";
import { checkTriggers, triggersSchema } from "./triggers.ts";

export const argvCountMax = 256;
export const argumentBytesMax = 32_768;
export const descriptionBytesMax = 4_096;
export const triggerSubjectsMax = 64;
export const concurrencyMax = 1024;
/** Maximum number of machines of one workload on one node. */
export const replicasMax = 64;

/** A NATS connection that a request provides. */
export const connectionSchema = goObject({
  nats_url: z.string().optional(),
  nats_user_jwt: z.string().optional(),
  nats_user_seed: z.string().optional(),
});
export type RequestConnection = z.infer<typeof connectionSchema>;

/** Whether a connection has any content. Go Nex's clients send empty strings for an absent connection. */
export function saysConnection(connection: RequestConnection | undefined): connection is RequestConnection {
  return [connection?.nats_url, connection?.nats_user_jwt, connection?.nats_user_seed].some(Boolean);
}

/** When to replace an exited machine of a workload. */
const restartSchema = z.strictObject({
  policy: z.enum(["never", "on-failure", "always"]),
  /** Maximum number of restarts of one machine. When absent, the node limits the restarts per time. */
  max_restarts: z.number().int().min(0).max(1_000_000).optional(),
  /** Delay before the first restart; doubles with each restart. */
  backoff_ms: z.number().int().min(1).max(600_000).optional(),
});
export type Restart = z.infer<typeof restartSchema>;

/**
 * Our members of a DEPLOY. The schema is strict: unknown members and values are refused, because a client relies on
 * them.
 */
export const deployExtrasSchema = z.strictObject({
  version: z.literal(1),
  requires: z.array(z.string()).max(64).optional(),
  globals: z.enum(["fresh", "keep"]).optional(),
  concurrency: z.number().int().min(1).max(concurrencyMax).optional(),
  replicas: z.number().int().min(1).max(replicasMax).optional(),
  /** Takes precedence over `essential`. */
  restart: restartSchema.optional(),
  limits: limitsSchema.optional(),
  health: healthSchema.optional(),
  /** Triggers of every kind, beside `trigger_subjects`. */
  triggers: triggersSchema.optional(),
  /** Sealed box, see `SealedRequest`. */
  sealed: z.string().min(1).optional(),
  /** Id of a workload to stop as soon as this one runs. */
  replace: z.string().min(1).max(256).optional(),
});
export type DeployExtras = z.infer<typeof deployExtrasSchema>;

/**
 * A DEPLOY as received. Members that Go Nex requires are optional here, because admission names the missing one in its
 * refusal.
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
 * Parses our members of a DEPLOY and checks them against this node's features.
 *
 * @throws NexError `feature_missing`, `limits_invalid`, `health_invalid`, `trigger_invalid`
 */
export function parseDeployExtras(value: unknown): DeployExtras {
  if (value === undefined) return { version: 1 };
  const result = deployExtrasSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    const at = ["nex", ...(issue?.path ?? [])].join(".");
    const code = codeOfIssue(issue);
    if (code !== undefined) {
      throw new NexError(code, `Cannot accept the request: ${at}: ${issue?.message}`);
    }
    const keys = issue?.code === "unrecognized_keys" ? ` (${issue.keys.slice(0, 4).join(", ")})` : "";
    throw new NexError(
      "feature_missing",
      `Cannot accept the request: ${at} has a member or value that this node does not know${keys}`,
    );
  }
  for (const name of result.data.requires ?? []) {
    if (!nodeFeatures.includes(name as Feature)) {
      throw new NexError(
        "feature_missing",
        `Cannot accept the request: it requires "${name}", which this node does not know`,
      );
    }
  }
  if (result.data.limits !== undefined) checkLimits(result.data.limits);
  if (result.data.triggers !== undefined) checkTriggers(result.data.triggers);
  return result.data;
}

/** Code for a value that is out of bounds; `undefined` for one that this version may only not know. */
function codeOfIssue(
  issue: z.core.$ZodIssue | undefined,
): "limits_invalid" | "health_invalid" | "trigger_invalid" | undefined {
  if (issue === undefined || issue.code === "unrecognized_keys") return undefined;
  const [member] = issue.path;
  if (member === "limits") return "limits_invalid";
  const isKind = issue.path.at(-1) === "type";
  if (member === "health" && issue.path.length > 1 && !isKind) return "health_invalid";
  return member === "triggers" && !isKind ? "trigger_invalid" : undefined;
}

/** Answer to an accepted DEPLOY. */
export const runResponseSchema = goObject({
  started: z.boolean(),
  id: z.string(),
  issuer: z.string().optional().default(""),
  name: z.string().optional().default(""),
  nex: z
    .object({
      version: z.literal(1),
      published: z.array(publishedSchema).optional(),
      /** Number of machines requested, and number running. */
      replicas: z.number().int().optional(),
      ready: z.number().int().optional(),
    })
    .optional()
    .catch(undefined),
});
/** Answer to DEPLOY. */
export type RunResponse = z.infer<typeof runResponseSchema>;

export const stopRequestSchema = goObject({
  workload_id: z.string().max(256).optional(),
  workload_jwt: z.string().optional(),
  target_node: z.string().max(256).optional(),
});
export type StopRequest = z.infer<typeof stopRequestSchema>;

/** Answer to a successful STOP. */
export const stopResponseSchema = goObject({
  stopped: z.boolean(),
  id: z.string(),
  issuer: z.string().optional().default(""),
  name: z.string().optional().default(""),
});
/** Answer to STOP. */
export type StopResponse = z.infer<typeof stopResponseSchema>;

/** Placeholder that Go Nex's client signs instead of the artifact's digest. */
export const placeholderHash = "abc12345TODOmakethisreal";
const digestPattern = /^[0-9a-f]{64}$/i;

/** SHA-256 of the artifact in lower-case hex, if the claim has that form. */
export function signedDigest(hash: string | undefined): string | undefined {
  return hash !== undefined && digestPattern.test(hash) ? hash.toLowerCase() : undefined;
}

/** Headers of a function's error reply. */
export const errorHeader = "Nats-Service-Error";
export const errorCodeHeader = "Nats-Service-Error-Code";
