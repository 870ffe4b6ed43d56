/** Starts the workloads of the configuration. Each goes through the same admission as a request. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { errorText, NexError, toNexError } from "@nexengine/protocol/errors";
import {
  createKey,
  curveKeyOfSeed,
  encodeClaims,
  requestDigest,
  type Signer,
  sealEnvironment,
  signDeployToken,
  signerOfSeed,
} from "@nexengine/protocol/tokens";
import type { AutostartEntry } from "../config/autostart.ts";
import type { Reporter } from "../telemetry/reporter.ts";

/** The handler of a DEPLOY. */
type Deploy = (namespace: string, body: Uint8Array, entryDigest: string) => Promise<object>;

/** Digest of an entry, by which a restored workload is known as its own. */
export function digestOfEntry(entry: AutostartEntry): string {
  return createHash("sha256").update(JSON.stringify(entry)).digest("base64url");
}

/** Parts of the node that autostart uses. */
export interface AutostartContext {
  nodeId: string;
  /** The node's public xkey. */
  xkey: string;
  reporter: Reporter;
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
    // The file may hold a mistyped seed, so its content stays out of the error.
    const why = cause instanceof Error && "code" in cause ? errorText(cause) : "it holds no seed of a key";
    throw new NexError("config_invalid", `Cannot use autostart.issuer_file "${path}": ${why}`);
  }
}

/** Starts the workloads in order. A refused one is logged, and the others go on. */
export async function autostart(
  entries: readonly AutostartEntry[],
  issuer: Signer,
  context: AutostartContext,
): Promise<void> {
  for (const entry of entries) {
    const { name, namespace } = entry;
    try {
      const body = Buffer.from(JSON.stringify(requestOf(entry, issuer, context)));
      await context.deploy(namespace, body, digestOfEntry(entry));
    } catch (error) {
      const { code, message } = toNexError(error);
      context.reporter.tell({ type: "autostart_refused", name, namespace, code, reason: message });
    }
  }
}

function requestOf(entry: AutostartEntry, issuer: Signer, { nodeId, xkey }: AutostartContext): object {
  const publisher = curveKeyOfSeed(createKey("curve").seed);
  const { argv, description = "", essential = false, type, location, jsdomain, triggers } = entry;
  const request = {
    ...(argv === undefined ? {} : { argv }),
    description,
    type,
    location,
    essential,
    environment: sealEnvironment(entry.environment ?? {}, publisher, xkey),
    sender_public_key: publisher.publicKey,
    target_node: nodeId,
    ...(jsdomain === undefined ? {} : { jsdomain }),
    ...(entry.trigger_subjects === undefined ? {} : { trigger_subjects: entry.trigger_subjects }),
    ...(triggers === undefined ? {} : { nex: { version: 1, triggers } }),
  };
  return { ...request, workload_jwt: tokenOf(entry, request, issuer) };
}

/** A token that is bound to the request where that has additions; else one of Go Nex. */
function tokenOf(
  { name, namespace, sha256, triggers }: AutostartEntry,
  request: object,
  issuer: Signer,
): string {
  if (triggers !== undefined && sha256 !== undefined) {
    const digest = requestDigest(namespace, JSON.stringify(request));
    return signDeployToken({ name, sha256, request: digest }, issuer, Date.now());
  }
  return encodeClaims(
    {
      subject: name,
      issuedAt: Math.floor(Date.now() / 1000),
      ...(sha256 === undefined ? {} : { data: { hash: sha256 } }),
    },
    issuer,
  );
}
