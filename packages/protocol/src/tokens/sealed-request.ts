/**
 * Confidential parts of a deploy, sealed together with issuer, namespace and name. Without these, anyone could copy a
 * sealed environment into a deploy of their own.
 */
import { z } from "zod";
import { NexError } from "../errors.ts";
import { connectionSchema, type RequestConnection } from "../messages/workload.ts";
import type { CurveKey } from "./keys.ts";
import {
  type Environment,
  environmentBytesMax,
  jsonWithin,
  openJson,
  readEnvironment,
  sealEnvironment,
  sealJson,
  unreadable,
} from "./sealed-environment.ts";

/** Environment plus room for the other members. */
const sealedBytesMax = environmentBytesMax + 32_768;

/** Strict, because a client may rely on a member that this version does not know. */
const sealedSchema = z.strictObject({
  version: z.literal(1),
  issuer: z.string(),
  namespace: z.string(),
  name: z.string(),
  environment: z.unknown(),
  trigger_connection: connectionSchema.optional(),
  host_services: connectionSchema.optional(),
});

/** Workload that a sealed request is bound to. */
export interface SealedFor {
  /** Public key of the issuer. */
  issuer: string;
  namespace: string;
  /** Workload name. */
  name: string;
}

/** Content of a sealed request. */
export type SealedRequest = Omit<z.infer<typeof sealedSchema>, "environment"> & { environment: Environment };

/** Connections that are sealed along with the environment. */
export interface SealedConnections {
  trigger_connection?: RequestConnection;
  host_services?: RequestConnection;
}

/** The two sealed members of a DEPLOY. */
export interface SealedMembers {
  /** Go Nex's member, which holds a sealed `null`. */
  environment: string;
  sealed: string;
}

/**
 * Seals an environment and connections for one workload of one issuer.
 *
 * @param recipient The node's `X…` key.
 * @throws NexError `key_invalid`, `request_too_large`
 */
export function sealRequest(
  { issuer, namespace, name }: SealedFor,
  environment: Environment,
  sender: CurveKey,
  recipient: string,
  connections: SealedConnections = {},
): SealedMembers {
  jsonWithin(environment, environmentBytesMax);
  const content = { version: 1, issuer, namespace, name, environment, ...connections };
  return {
    environment: sealEnvironment(null, sender, recipient),
    sealed: sealJson(content, sealedBytesMax, sender, recipient),
  };
}

/**
 * Opens a sealed request and checks that it is bound to this workload. Errors never quote its content.
 *
 * @throws NexError `environment_unreadable`, `sealed_for_another`
 */
export function openRequest(
  sealed: string,
  { issuer, namespace, name }: SealedFor,
  recipient: CurveKey,
  sender: string,
): SealedRequest {
  const result = sealedSchema.safeParse(openJson(sealed, sealedBytesMax, recipient, sender));
  if (!result.success)
    throw unreadable("the sealed content has a member or value that this node does not know");
  const opened = result.data;
  if (opened.issuer !== issuer || opened.namespace !== namespace || opened.name !== name) {
    throw new NexError(
      "sealed_for_another",
      "Failed to decrypt environment for deploy request: it was sealed for another issuer, namespace or name",
    );
  }
  return { ...opened, environment: readEnvironment(opened.environment) };
}
