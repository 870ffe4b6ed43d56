/** Starts the workloads of the configuration, each through the same door as a request from outside. */
import { readFile } from "node:fs/promises";
import {
  createKey,
  curveKeyOfSeed,
  encodeClaims,
  errorText,
  NexError,
  type Signer,
  sealEnvironment,
  signerOfSeed,
  toNexError,
} from "@nexengine/protocol/internal";
import type { Logger } from "pino";
import type { AutostartEntry } from "../config/autostart.ts";

/** What starts a workload: the handler of a DEPLOY. */
export type Deploy = (namespace: string, body: Uint8Array) => Promise<object>;

/** What autostart needs of its node. */
export interface AutostartContext {
  nodeId: string;
  /** The node's public xkey. */
  xkey: string;
  log: Logger;
  deploy: Deploy;
}

/**
 * Reads the key that signs autostarted workloads.
 *
 * @throws NexError `config_invalid`
 */
export async function readAutostartIssuer(path: string | undefined): Promise<Signer> {
  if (path === undefined) return signerOfSeed(createKey("account").seed);
  try {
    return signerOfSeed((await readFile(path, "utf8")).trim());
  } catch (cause) {
    // What the file holds may be a seed with a letter too few.
    const why = cause instanceof Error && "code" in cause ? errorText(cause) : "it holds no seed of a key";
    throw new NexError("config_invalid", `Cannot use autostart.issuer_file "${path}": ${why}`);
  }
}

/** Starts one after the other; one that is refused is told in the log, and keeps none of the others. */
export async function autostart(
  entries: readonly AutostartEntry[],
  issuer: Signer,
  context: AutostartContext,
): Promise<void> {
  for (const entry of entries) {
    const { name, namespace } = entry;
    try {
      await context.deploy(namespace, Buffer.from(JSON.stringify(requestOf(entry, issuer, context))));
    } catch (error) {
      const { code, message } = toNexError(error);
      context.log.error({ name, namespace, code, reason: message }, "a workload of autostart did not start");
    }
  }
}

function requestOf(entry: AutostartEntry, issuer: Signer, { nodeId, xkey }: AutostartContext): object {
  const publisher = curveKeyOfSeed(createKey("curve").seed);
  const { name, argv, description = "", essential = false, type, location, jsdomain, sha256 } = entry;
  return {
    ...(argv === undefined ? {} : { argv }),
    description,
    type,
    location,
    essential,
    workload_jwt: encodeClaims(
      {
        subject: name,
        issuedAt: Math.floor(Date.now() / 1000),
        ...(sha256 === undefined ? {} : { data: { hash: sha256 } }),
      },
      issuer,
    ),
    environment: sealEnvironment(entry.environment ?? {}, publisher, xkey),
    sender_public_key: publisher.publicKey,
    target_node: nodeId,
    ...(jsdomain === undefined ? {} : { jsdomain }),
    ...(entry.trigger_subjects === undefined ? {} : { trigger_subjects: entry.trigger_subjects }),
  };
}
