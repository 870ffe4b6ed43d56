/** The artifact of a deploy: a file, bytes, or an object that is in a bucket already. */
import { createHash } from "node:crypto";
import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { Readable } from "node:stream";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { checkStaticElf, readBytes } from "@nexengine/protocol/formats";

/** Something to deploy that has to be uploaded. */
export type LocalArtifact = { path: string } | { bytes: Uint8Array };
/** An object that is in a bucket; without its digest it is read once, so that its real one can be signed. */
export interface StoredArtifact {
  bucket: string;
  key: string;
  /** Lower-case hex. */
  sha256?: string;
}
/** An artifact to deploy: a local one, or an object that is stored already. */
export type Artifact = LocalArtifact | StoredArtifact;

export function isStored(artifact: Artifact): artifact is StoredArtifact {
  return "bucket" in artifact;
}

/**
 * The size of an artifact in bytes.
 *
 * @throws NexError `file_not_found`, `artifact_invalid` for an empty one
 */
export function artifactSize(artifact: LocalArtifact): number {
  const size =
    "bytes" in artifact ? artifact.bytes.length : withFile(artifact.path, (fd) => sizeOf(fd, artifact.path));
  if (size > 0) return size;
  throw new NexError("artifact_invalid", `Cannot deploy ${describe(artifact)}: it is empty`);
}

/**
 * Can a native workload be this file?
 *
 * @returns Go's name of the processor that it is built for.
 * @throws NexError `artifact_invalid` with the reason
 */
export function checkNative(artifact: LocalArtifact): string {
  const verdict =
    "bytes" in artifact
      ? checkStaticElf(readBytes(artifact.bytes))
      : withFile(artifact.path, (fd) =>
          checkStaticElf((offset, length) => {
            const part = Buffer.alloc(length);
            return part.subarray(0, readSync(fd, part, 0, length, offset));
          }),
        );
  if (verdict.ok) return verdict.arch;
  throw new NexError("artifact_invalid", `Cannot deploy ${describe(artifact)}: ${verdict.reason}`, {
    advice: "Build a static executable, e.g. with: CGO_ENABLED=0 go build, or: gcc -static",
  });
}

/** An artifact's bytes as they are sent. */
export interface ArtifactBytes extends Disposable {
  stream: ReadableStream<Uint8Array>;
  /** Digest of the bytes that have been read, in lower-case hex; may be called once. */
  sha256(): string;
}

/** Opens an artifact for sending; each chunk is counted and hashed on its way. */
export function readArtifact(artifact: LocalArtifact, onChunk: (bytes: number) => void): ArtifactBytes {
  const hash = createHash("sha256");
  const source = "bytes" in artifact ? Readable.from([artifact.bytes]) : createReadStream(artifact.path);
  const counted = source.map((chunk: Uint8Array) => {
    hash.update(chunk);
    onChunk(chunk.length);
    return chunk;
  });
  return {
    stream: Readable.toWeb(counted) as ReadableStream<Uint8Array>,
    sha256: () => hash.digest("hex"),
    // An upload that breaks off leaves the file open otherwise.
    [Symbol.dispose]: () => source.destroy(),
  };
}

/** How messages name an artifact. */
export function describe(artifact: LocalArtifact): string {
  return "path" in artifact ? `"${artifact.path}"` : "the artifact";
}

function sizeOf(fd: number, path: string): number {
  const stat = fstatSync(fd);
  if (stat.isFile()) return stat.size;
  throw new NexError("file_not_found", `Cannot deploy "${path}": it is not a file`);
}

function withFile<T>(path: string, use: (fd: number) => T): T {
  let fd: number;
  try {
    // A pipe without a writer would be waited for.
    fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    const reason = missing ? "there is no such file" : errorText(cause);
    throw new NexError("file_not_found", `Cannot deploy "${path}": ${reason}`, { cause });
  }
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
