/**
 * What of a deploy only its node may read, sealed together with whose deploy it is: an environment alone could be put
 * into a deploy of somebody else's.
 */
import { z } from "zod";
import { NexError } from "./errors.ts";
import type { CurveKey } from "./keys.ts";
import { connectionSchema, type RequestConnection } from "./messages/workload.ts";
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

/** The environment, and room for the rest. */
const sealedBytesMax = environmentBytesMax + 32_768;

/** Strict: what this version does not know may be something that a client relies on. */
const sealedSchema = z.strictObject({
  version: z.literal(1),
  issuer: z.string(),
  namespace: z.string(),
  name: z.string(),
  environment: z.unknown(),
  trigger_connection: connectionSchema.optional(),
  host_services: connectionSchema.optional(),
});

/** Who deploys what. */
export interface SealedFor {
  /** Public key. */
  issuer: string;
  namespace: string;
  /** The workload's. */
  name: string;
}

/** What was sealed. */
export type SealedRequest = Omit<z.infer<typeof sealedSchema>, "environment"> & { environment: Environment };

/** Connections that go with it. */
export interface SealedConnections {
  trigger_connection?: RequestConnection;
  host_services?: RequestConnection;
}

/** The two members of a DEPLOY in which something is sealed. */
export interface SealedMembers {
  /** The reference's member, of `null`. */
  environment: string;
  sealed: string;
}

/**
 * Seals an environment, and connections, for one workload of one issuer.
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
 * Opens what was sealed, and checks that it was sealed for this workload. No text of a failure holds anything of what
 * was inside.
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
  if (!result.success) throw unreadable("what was sealed has a member or value that this node does not know");
  const opened = result.data;
  if (opened.issuer !== issuer || opened.namespace !== namespace || opened.name !== name) {
    throw new NexError(
      "sealed_for_another",
      "Failed to decrypt environment for deploy request: it was sealed for another issuer, namespace or name",
    );
  }
  return { ...opened, environment: readEnvironment(opened.environment) };
}
