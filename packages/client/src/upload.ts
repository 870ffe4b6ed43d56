/** Brings artifacts into the object store, and reads the digest of those that are there. */
import { createHash } from "node:crypto";
import { JetStreamApiCodes, JetStreamApiError, jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { type ObjectStore, Objm, StorageType, setSha256Backend } from "@nats-io/obj";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { cliBucket } from "@nexengine/protocol/subjects";
import { artifactSize, describe, type LocalArtifact, readArtifact, type StoredArtifact } from "./artifact.ts";
import { silenceKind } from "./request-failure.ts";

setSha256Backend("native");

const bucketBytesMaxDefault = 1_073_741_824;
const chunkBytes = 1_048_576;
const apiTimeoutMs = 5_000;
const putTimeoutMs = 30_000;
/** A server's payload limit leaves so much for headers. */
const payloadMarginBytes = 1_024;

/** Where an upload goes. */
export interface UploadOptions {
  key: string;
  bucket?: string;
  /** Size limit of the bucket, for the case that it has to be created. */
  bucketBytesMax?: number;
  jsDomain?: string;
  onProgress?: ((sentBytes: number, totalBytes: number) => void) | undefined;
}

/** The object that was uploaded. */
export interface Uploaded {
  bucket: string;
  key: string;
  bytes: number;
  sha256: string;
}

/** @throws NexError `file_not_found`, `artifact_invalid`, `upload_failed` */
export async function upload(
  connection: NatsConnection,
  artifact: LocalArtifact,
  options: UploadOptions,
): Promise<Uploaded> {
  const bytes = artifactSize(artifact);
  const bucket = options.bucket ?? cliBucket;
  let sentBytes = 0;
  try {
    const store = await openBucket(connection, bucket, options);
    using source = readArtifact(artifact, (count) => {
      sentBytes += count;
      options.onProgress?.(sentBytes, bytes);
    });
    const max = (connection.info?.max_payload ?? chunkBytes) - payloadMarginBytes;
    const meta = { name: options.key, options: { max_chunk_size: Math.min(chunkBytes, max) } };
    await store.put(meta, source.stream, { timeout: putTimeoutMs });
    return { bucket, key: options.key, bytes: sentBytes, sha256: source.sha256() };
  } catch (cause) {
    throw uploadFailure(cause, `Cannot upload ${describe(artifact)} to bucket "${bucket}"`);
  }
}

async function openBucket(
  connection: NatsConnection,
  bucket: string,
  options: UploadOptions,
): Promise<ObjectStore> {
  const objects = objectStores(connection, options.jsDomain);
  try {
    return await objects.open(bucket);
  } catch (error) {
    if (!isNoBucket(error)) throw error;
  }
  return objects.create(bucket, {
    description: "Artifacts of Nex workloads",
    max_bytes: options.bucketBytesMax ?? bucketBytesMaxDefault,
    storage: StorageType.File,
    replicas: 1,
  });
}

/**
 * Reads an object to learn its real digest.
 *
 * @returns lower-case hex.
 * @throws NexError `artifact_not_found`, `upload_failed`
 */
export async function digestOf(
  connection: NatsConnection,
  { bucket, key }: StoredArtifact,
  jsDomain: string | undefined,
): Promise<string> {
  try {
    const store = await objectStores(connection, jsDomain).open(bucket);
    const object = await store.get(key);
    if (object !== null) {
      const hash = createHash("sha256");
      for await (const chunk of object.data) hash.update(chunk);
      return hash.digest("hex");
    }
  } catch (cause) {
    if (!isNoBucket(cause)) throw uploadFailure(cause, `Cannot read "${key}" from bucket "${bucket}"`);
    throw new NexError("artifact_not_found", `Cannot deploy "${key}": there is no bucket "${bucket}"`, {
      cause,
    });
  }
  throw new NexError("artifact_not_found", `Cannot deploy "${key}": bucket "${bucket}" has no such object`);
}

/** The object store's own check throws a plain error, the server's API a coded one. */
function isNoBucket(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return error.code === JetStreamApiCodes.StreamNotFound;
  return errorText(error) === "object store not found";
}

function objectStores(connection: NatsConnection, jsDomain: string | undefined): Objm {
  return new Objm(
    jetstream(connection, { timeout: apiTimeoutMs, ...(jsDomain ? { domain: jsDomain } : {}) }),
  );
}

function uploadFailure(cause: unknown, action: string): NexError {
  if (cause instanceof NexError) return cause;
  const text = errorText(cause);
  const failed = (why: string, advice?: string): NexError =>
    new NexError("upload_failed", `${action}: ${why}`, {
      cause,
      ...(advice === undefined ? {} : { advice }),
    });
  const kind = silenceKind(cause);
  if (kind === "no-responders" || isJetStreamOff(cause)) {
    return failed(
      "JetStream is not enabled on this NATS server",
      "Start the server with JetStream (nats-server -js), or start everything with: nex up",
    );
  }
  if (kind === "denied") {
    return failed(
      `the NATS server does not permit it (${text})`,
      "Log in as a user who may use JetStream, or deploy an object that is in a bucket already",
    );
  }
  if (kind === "timeout") {
    return failed(
      "the NATS server did not answer in time",
      "See whether the server is busy, or not permitted to you",
    );
  }
  if (/maximum bytes exceeded|insufficient|resource/i.test(text)) {
    return failed(
      `the bucket or the server is full (${text})`,
      "Delete old objects from the bucket, or use another one",
    );
  }
  return failed(text);
}

function isJetStreamOff(cause: unknown): boolean {
  const code = cause instanceof JetStreamApiError ? cause.code : undefined;
  return code === JetStreamApiCodes.JetStreamNotEnabledForAccount || /not enabled/i.test(errorText(cause));
}
