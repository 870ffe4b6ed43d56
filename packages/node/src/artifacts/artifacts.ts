/**
 * Artifacts on disk, by digest. They are streamed from the object store against the limits, and hashed on the way.
 * Workloads with the same artifact share one file, which is removed with the last of them.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { JetStreamApiCodes, JetStreamApiError, jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { type ObjectResult, Objm, setSha256Backend } from "@nats-io/obj";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { checkStaticElf } from "@nexengine/protocol/formats";
import { ObjectConsumers } from "../connections/object-consumers.ts";

setSha256Backend("native");

const apiTimeoutMs = 5_000;
/** Go names of processors. */
const goArch: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Names an artifact. */
export interface ArtifactDigest {
  /** Lower-case hex. */
  readonly sha256: string;
  readonly bytes: number;
}

/** An artifact on disk. Disposing it lets go of the file. */
export interface Artifact extends ArtifactDigest, AsyncDisposable {
  readonly path: string;
}

/** An artifact to read, and its requirements. */
export interface ArtifactRequest {
  /** Unique on this node; names the file. */
  id: string;
  bucket: string;
  key: string;
  jsDomain?: string;
  /** Lower-case hex; any artifact is accepted when absent. */
  sha256?: string;
  bytesMax: number;
  type: string;
  /** Called with the size before the first byte is written. Throws when there is no room. */
  reserve(bytes: number): void;
}

export class Artifacts {
  readonly #directory: string;
  readonly #timeMs: number;
  /** Number of workloads that hold each file, by digest. */
  readonly #holders = new Map<string, number>();

  constructor(directory: string, timeMs: number) {
    this.#directory = directory;
    this.#timeMs = timeMs;
  }

  /** Removes all files but those of these digests: an earlier node has left them. */
  async sweep(kept: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!kept.has(name)) await rm(join(this.#directory, name), { recursive: true, force: true });
    }
  }

  /** Takes hold of a file that an earlier node has left. @returns `undefined` when it is gone, or not whole */
  async find({ sha256, bytes }: ArtifactDigest): Promise<Artifact | undefined> {
    const path = join(this.#directory, sha256);
    const size = await stat(path).then(
      (found) => found.size,
      () => -1,
    );
    if (size !== bytes || (await hashOf(path)) !== sha256) return undefined;
    return this.#hold({ sha256, bytes });
  }

  #hold({ sha256, bytes }: ArtifactDigest): Artifact {
    this.#holders.set(sha256, (this.#holders.get(sha256) ?? 0) + 1);
    const path = join(this.#directory, sha256);
    let isHeld = true;
    const letGo = async (): Promise<void> => {
      if (!isHeld) return;
      isHeld = false;
      const holders = (this.#holders.get(sha256) ?? 1) - 1;
      if (holders > 0) {
        this.#holders.set(sha256, holders);
        return;
      }
      this.#holders.delete(sha256);
      if (!this.keepsFiles) await rm(path, { force: true });
    };
    return { path, bytes, sha256, [Symbol.asyncDispose]: letGo };
  }

  /** Whether files stay when nobody holds them: set when the node stops and the next one needs them. */
  keepsFiles = false;

  /**
   * Reads one artifact.
   *
   * @param connection Connection to its object store.
   * @throws NexError `artifact_not_found`, `artifact_unavailable`, `artifact_too_large`, `artifact_digest_mismatch`,
   *   `artifact_invalid`; nothing is left on the disk then.
   */
  async fetch(connection: NatsConnection, request: ArtifactRequest): Promise<Artifact> {
    const path = join(this.#directory, `incoming-${request.id}`);
    const discard = (): Promise<void> => rm(path, { force: true });
    try {
      const { object, consumers } = await openObject(connection, request);
      using _ = { [Symbol.dispose]: () => consumers.release() };
      try {
        if (object.info.size > request.bytesMax) throw tooLarge(object.info.size, request.bytesMax);
        request.reserve(object.info.size);
      } catch (error) {
        await object.data.cancel();
        throw error;
      }
      // No room is reserved for more bytes than announced.
      const { bytes, sha256 } = await this.#store(object, path, object.info.size);
      if (request.sha256 !== undefined && request.sha256 !== sha256) {
        throw new NexError(
          "artifact_digest_mismatch",
          `Failed to cache workload bytes: the artifact is not the one that was signed (signed ${request.sha256}, found ${sha256})`,
        );
      }
      if (request.type === "native") checkExecutable(path);
      // Held before the name is given, so that nobody removes a file of the same content meanwhile.
      const artifact = this.#hold({ sha256, bytes });
      await rename(path, artifact.path);
      return artifact;
    } catch (error) {
      await discard();
      throw error;
    }
  }

  async #store(
    object: ObjectResult,
    path: string,
    bytesMax: number,
  ): Promise<{ bytes: number; sha256: string }> {
    const hash = createHash("sha256");
    let bytes = 0;
    const signal = AbortSignal.timeout(this.#timeMs);
    const abort = (): void => void object.data.cancel().catch(() => undefined);
    const reader = object.data.getReader();
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => {
        reject(
          new NexError(
            "artifact_unavailable",
            `Failed to cache workload bytes: not there within ${this.#timeMs} ms`,
          ),
        );
      });
    });
    aborted.catch(() => undefined);
    await using file = await open(path, "wx", 0o600);
    try {
      for (;;) {
        const { done, value } = await Promise.race([reader.read(), aborted]);
        if (done) break;
        bytes += value.length;
        if (bytes > bytesMax) throw tooLarge(bytes, bytesMax);
        hash.update(value);
        await writeAll(file, value);
      }
    } catch (error) {
      reader.releaseLock();
      abort();
      if (error instanceof NexError) throw error;
      throw new NexError("artifact_unavailable", `Failed to cache workload bytes: ${errorText(error)}`, {
        cause: error,
      });
    }
    return { bytes, sha256: hash.digest("hex") };
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await using file = await open(path, "r");
  for await (const chunk of file.createReadStream({ autoClose: false })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Writes everything: a file can take less than it is given when its disk is nearly full. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at);
    at += bytesWritten;
  }
}

async function openObject(
  connection: NatsConnection,
  request: ArtifactRequest,
): Promise<{ object: ObjectResult; consumers: ObjectConsumers }> {
  const js = jetstream(connection, {
    timeout: apiTimeoutMs,
    ...(request.jsDomain === undefined ? {} : { domain: request.jsDomain }),
  });
  const consumers = new ObjectConsumers(js);
  let object: ObjectResult | null;
  try {
    const store = await new Objm(js).open(request.bucket);
    object = await store.get(request.key);
  } catch (error) {
    throw openFailure(error, request);
  }
  if (object === null) {
    throw new NexError(
      "artifact_not_found",
      `Failed to cache workload bytes: nats: object not found ("${request.key}" in bucket "${request.bucket}")`,
    );
  }
  object.error.catch(() => undefined);
  return { object, consumers };
}

function openFailure(error: unknown, request: ArtifactRequest): NexError {
  const head = "Failed to cache workload bytes: ";
  const code = error instanceof JetStreamApiError ? error.code : undefined;
  // The object store's own check throws a plain error; the server's API throws a coded one.
  if (code === JetStreamApiCodes.StreamNotFound || errorText(error) === "object store not found") {
    return new NexError(
      "artifact_not_found",
      `${head}nats: stream not found (no bucket "${request.bucket}")`,
      {
        cause: error,
      },
    );
  }
  const disabled = code === JetStreamApiCodes.JetStreamNotEnabledForAccount;
  if (disabled || /jetstream is not enabled|no responders/i.test(errorText(error))) {
    return new NexError(
      "artifact_unavailable",
      `${head}JetStream is not enabled, artifacts come from its object store`,
      {
        cause: error,
      },
    );
  }
  const text = errorText(error);
  const why = /^timeout$/i.test(text)
    ? `JetStream does not answer within ${apiTimeoutMs} ms; it may have no leader`
    : text;
  return new NexError("artifact_unavailable", `${head}${why}`, { cause: error });
}

function tooLarge(bytes: number, bytesMax: number): NexError {
  return new NexError(
    "artifact_too_large",
    `Workload file size would exceed node limitations (${bytes} bytes, the node accepts ${bytesMax})`,
  );
}

function checkExecutable(path: string): void {
  const fd = openSync(path, "r");
  try {
    const verdict = checkStaticElf((offset, length) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
    }, goArch[process.arch]);
    if (verdict.ok) return;
    throw new NexError(
      "artifact_invalid",
      `Failed to deploy workload: Failed to validate workload: ${verdict.reason}`,
    );
  } finally {
    closeSync(fd);
  }
}
