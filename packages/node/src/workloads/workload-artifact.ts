/** The artifact of one workload: read for its deploy, or found again after a restart of the node. */
import { NexError } from "@nexengine/protocol/errors";
import type { Artifact, ArtifactDigest, Artifacts } from "../artifacts/artifacts.ts";
import type { WorkloadConnections } from "../connections/connections.ts";
import type { WorkloadSpec } from "./spec.ts";

export class WorkloadArtifact implements AsyncDisposable {
  readonly #id: string;
  readonly #spec: Readonly<WorkloadSpec>;
  readonly #artifacts: Artifacts;
  #connections: WorkloadConnections | undefined;
  #artifact: Artifact | undefined;
  /** The recorded artifact, which is looked for when a machine needs it. */
  #recorded: ArtifactDigest | undefined;
  #finding: Promise<Artifact> | undefined;
  #reservedBytes = 0;
  #isDisposed = false;

  constructor(id: string, spec: Readonly<WorkloadSpec>, artifacts: Artifacts) {
    this.#id = id;
    this.#spec = spec;
    this.#artifacts = artifacts;
  }

  /** SHA-256 in lower-case hex; empty until it is known. */
  get sha256(): string {
    return (this.#artifact ?? this.#recorded)?.sha256 ?? "";
  }

  /** Bytes that it takes on disk, reserved before the first byte. */
  get bytes(): number {
    return this.#reservedBytes;
  }

  /**
   * Reads the artifact from its object store.
   *
   * @param checkRoom Throws when there is no room for this many bytes.
   * @throws NexError; see `Artifacts.fetch`.
   */
  async read(connections: WorkloadConnections, checkRoom: (bytes: number) => void): Promise<void> {
    this.#artifact = await this.#fetch(connections, this.#spec.sha256, (bytes) => {
      checkRoom(bytes);
      this.#reservedBytes = bytes;
    });
  }

  /** Names the artifact that an earlier node has read. */
  restore(connections: WorkloadConnections, recorded: ArtifactDigest): void {
    this.#connections = connections;
    this.#recorded = recorded;
    this.#reservedBytes = recorded.bytes;
  }

  /** The artifact for a machine. One of an earlier node is found on the disk, or read again. @throws NexError */
  async forMachine(): Promise<Artifact> {
    if (this.#artifact !== undefined) return this.#artifact;
    this.#finding ??= this.#find().finally(() => {
      this.#finding = undefined;
    });
    return await this.#finding;
  }

  async #find(): Promise<Artifact> {
    const { sha256, bytes } = this.#recorded as ArtifactDigest;
    const found =
      (await this.#artifacts.find({ sha256, bytes })) ??
      // Only the same content, whatever stands at its place now.
      (await this.#fetch(this.#connections as WorkloadConnections, sha256, () => undefined));
    if (this.#isDisposed) {
      await found[Symbol.asyncDispose]();
      throw new NexError("workload_not_started", "Failed to deploy workload: it ended before it ran");
    }
    this.#artifact = found;
    return found;
  }

  async #fetch(
    connections: WorkloadConnections,
    sha256: string | undefined,
    reserve: (bytes: number) => void,
  ): Promise<Artifact> {
    const { bucket, key, type, artifactBytesMax: bytesMax } = this.#spec;
    const jsDomain = this.#spec.jsDomain ?? connections.jsDomain;
    return await this.#artifacts.fetch(connections.artifacts, {
      ...{ id: this.#id, bucket, key, type, bytesMax, reserve },
      ...(jsDomain === undefined ? {} : { jsDomain }),
      ...(sha256 === undefined ? {} : { sha256 }),
    });
  }

  /** Lets go of the file. One that arrives later is let go of too. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await this.#artifact?.[Symbol.asyncDispose]();
  }
}
