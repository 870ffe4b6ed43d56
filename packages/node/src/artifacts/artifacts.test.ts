import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/nats-core";
import { type ObjectInfo, type ObjectStore, Objm } from "@nats-io/obj";
import { type ErrorCode, NexError } from "@nexengine/protocol/errors";
import type { NatsServer } from "@nexengine/provision";
import { startTestNatsServer } from "@nexengine/testing";
import { eventually } from "@nexengine/testing/internal";
import { connectNats } from "../connections/connect.ts";
import { type Artifact, type ArtifactRequest, Artifacts } from "./artifacts.ts";

const waitMs = 10_000;
/** Several chunks of the object store. */
const content = randomBytes(300_000);
const key = "folder/key";

function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

let server: NatsServer;
before(async () => {
  server = await startTestNatsServer();
});
after(() => server.stop());

/** A bucket with one object, and a directory for artifacts. */
class Bench implements AsyncDisposable {
  readonly connection: NatsConnection;
  readonly bucket: string;
  readonly store: ObjectStore;
  readonly directory: string;
  readonly artifacts: Artifacts;
  #fetched = 0;

  private constructor(
    connection: NatsConnection,
    store: ObjectStore,
    places: { bucket: string; directory: string },
    timeMs: number,
  ) {
    this.connection = connection;
    this.bucket = places.bucket;
    this.store = store;
    this.directory = places.directory;
    this.artifacts = new Artifacts(places.directory, timeMs);
  }

  static async make(bytes: Uint8Array = content, timeMs = waitMs): Promise<Bench> {
    const connection = await connectNats({ servers: [server.url] });
    const bucket = `b${randomBytes(4).toString("hex")}`;
    const store = await new Objm(connection).create(bucket);
    await store.putBlob({ name: key }, bytes);
    const directory = await mkdtemp(join(tmpdir(), "nex-artifacts-"));
    return new Bench(connection, store, { bucket, directory }, timeMs);
  }

  fetch(given: Partial<ArtifactRequest> = {}, connection = this.connection): Promise<Artifact> {
    return this.artifacts.fetch(connection, {
      ...{ id: `w${this.#fetched++}`, bucket: this.bucket, key, type: "v8", bytesMax: 1_000_000 },
      reserve: () => undefined,
      ...given,
    });
  }

  /** Names of everything on the disk. */
  files(): string[] {
    return readdirSync(this.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name);
  }

  /** Replaces members of what the bucket says about the object, as a hostile writer can. */
  async forge(members: object): Promise<void> {
    const { name, bucket, nuid, size, chunks, digest } = (await this.store.info(key)) as ObjectInfo;
    // The name is in base64url with padding.
    const encoded = Buffer.from(key).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
    const subject = `$O.${bucket}.M.${encoded}`;
    const rollup = headers();
    rollup.set("Nats-Rollup", "sub");
    const text = JSON.stringify({ name, bucket, nuid, size, chunks, digest, ...members });
    await this.connection.request(subject, text, { headers: rollup, timeout: waitMs });
  }

  /** Removes the object's bytes, and keeps what the bucket says about it. */
  async removeChunks(): Promise<void> {
    const { streams } = await jetstreamManager(this.connection);
    await streams.purge(`OBJ_${this.bucket}`, { filter: `$O.${this.bucket}.C.>` });
  }

  /** Number of consumers that reads have left in the bucket's stream. */
  async consumers(): Promise<number> {
    const { streams } = await jetstreamManager(this.connection);
    return (await streams.info(`OBJ_${this.bucket}`)).state.consumer_count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
    await rm(this.directory, { recursive: true });
  }
}

/** The smallest static executable of this processor: a header and one segment to load. */
function executable(): Buffer {
  const bytes = Buffer.alloc(120);
  bytes.write("\x7fELF\x02\x01\x01", "latin1");
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(process.arch === "arm64" ? 0xb7 : 0x3e, 18);
  bytes.writeBigUInt64LE(0x400_000n, 24);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(1, 64);
  bytes.writeBigUInt64LE(120n, 72);
  return bytes;
}

test("Artifacts.fetch brings an object to the disk, until the artifact is disposed", async () => {
  await using bench = await Bench.make();
  const reserved: number[] = [];
  const artifact = await bench.fetch({
    sha256: sha256Of(content),
    reserve: (bytes) => {
      reserved.push(bytes);
      assert.deepEqual(bench.files(), []);
    },
  });
  assert.deepEqual([artifact.bytes, artifact.sha256], [content.length, sha256Of(content)]);
  assert.deepEqual(reserved, [content.length]);
  assert.ok((await readFile(artifact.path)).equals(content));
  await artifact[Symbol.asyncDispose]();
  assert.deepEqual(bench.files(), []);
  await eventually(async () => (await bench.consumers()) === 0, waitMs, "the consumer is gone");
});

test("Artifacts.fetch tells the digest of an object that no token names", async () => {
  await using bench = await Bench.make();
  await using artifact = await bench.fetch();
  assert.equal(artifact.sha256, sha256Of(content));
});

test("Artifacts.fetch takes an object of exactly the maximum size, and an empty one", async () => {
  await using bench = await Bench.make();
  await using exact = await bench.fetch({ bytesMax: content.length });
  assert.equal(exact.bytes, content.length);
  await bench.store.putBlob({ name: "empty" }, new Uint8Array());
  await using empty = await bench.fetch({ key: "empty", sha256: sha256Of(Buffer.alloc(0)) });
  assert.deepEqual([empty.bytes, (await readFile(empty.path)).length], [0, 0]);
});

test("Artifacts.fetch takes a static executable for a service", async () => {
  await using bench = await Bench.make(executable());
  await using artifact = await bench.fetch({ type: "native" });
  assert.equal(artifact.bytes, 120);
});

test("Artifacts.fetch gives each workload an artifact that neither an overwritten key nor another's end changes", async () => {
  await using bench = await Bench.make();
  const first = await bench.fetch();
  await using second = await bench.fetch();
  const newer = randomBytes(1_000);
  await bench.store.putBlob({ name: key }, newer);
  await using third = await bench.fetch();
  await first[Symbol.asyncDispose]();
  assert.ok((await readFile(second.path)).equals(content));
  assert.ok((await readFile(third.path)).equals(newer));
});

test("Artifacts leaves files to the next node, which finds those that are whole and sweeps the others", async () => {
  await using bench = await Bench.make();
  bench.artifacts.keepsFiles = true;
  const { sha256, bytes, path } = await bench.fetch();
  await writeFile(join(bench.directory, "0".repeat(64)), "nobody's");
  await writeFile(join(bench.directory, "incoming-w9"), "half");
  const next = new Artifacts(bench.directory, 10_000);
  await next.sweep(new Set([sha256]));
  assert.deepEqual(bench.files(), [sha256]);
  assert.equal((await next.find({ sha256, bytes }))?.path, path);
  assert.equal(await next.find({ sha256, bytes: bytes - 1 }), undefined);
  await writeFile(path, Buffer.alloc(bytes));
  assert.equal(await next.find({ sha256, bytes }), undefined);
  assert.equal(await next.find({ sha256: "1".repeat(64), bytes }), undefined);
});

/** Failures: the code and the message, and the request with which a fetch fails so. */
const failures: [
  what: string,
  code: ErrorCode,
  message: RegExp,
  make: (bench: Bench) => Promise<Partial<ArtifactRequest>>,
][] = [
  [
    "an object that is announced larger than the maximum",
    "artifact_too_large",
    /\(300000 bytes, the node accepts 299999\)/,
    async () => ({ bytesMax: content.length - 1, reserve: () => assert.fail("room was reserved") }),
  ],
  [
    "an object that is larger than announced",
    "artifact_too_large",
    /the node accepts 1000\)/,
    async (bench) => {
      await bench.forge({ size: 1_000 });
      return {};
    },
  ],
  [
    "an object for which there is no room",
    "artifact_too_large",
    /^no room$/,
    async (bench) => ({
      reserve: () => {
        assert.deepEqual(bench.files(), []);
        throw new NexError("artifact_too_large", "no room");
      },
    }),
  ],
  [
    "an object that is not the signed one",
    "artifact_digest_mismatch",
    new RegExp(`signed ${"0".repeat(64)}, found ${sha256Of(content)}`),
    async () => ({ sha256: "0".repeat(64) }),
  ],
  [
    "an object that is not the one that was put",
    "artifact_unavailable",
    /corrupt object/,
    async (bench) => {
      const digest = `SHA-256=${createHash("sha256").update("another").digest("base64url")}=`;
      await bench.forge({ digest });
      return {};
    },
  ],
  [
    "an executable that is none",
    "artifact_invalid",
    /Failed to validate workload/,
    async () => ({ type: "native" }),
  ],
  [
    "an object that is not there",
    "artifact_not_found",
    /object not found \("gone" in bucket/,
    async () => ({ key: "gone" }),
  ],
  [
    "an object that was deleted",
    "artifact_not_found",
    /object not found/,
    async (bench) => {
      await bench.store.delete(key);
      return {};
    },
  ],
  [
    "a bucket that is not there",
    "artifact_not_found",
    /no bucket "nowhere"/,
    async () => ({ bucket: "nowhere" }),
  ],
  [
    "a JetStream domain that is not there",
    "artifact_unavailable",
    /JetStream is not enabled/,
    async () => ({ jsDomain: "nowhere" }),
  ],
];

for (const [what, code, message, make] of failures) {
  test(`Artifacts.fetch refuses ${what}, and leaves nothing`, async () => {
    await using bench = await Bench.make();
    const request = await make(bench);
    await assert.rejects(bench.fetch(request), { code, message });
    assert.deepEqual(bench.files(), []);
    await eventually(async () => (await bench.consumers()) === 0, waitMs, "the consumer is gone");
    // A failed fetch is in nobody's way.
    await bench.store.putBlob({ name: key }, content);
    await using artifact = await bench.fetch();
    assert.equal(artifact.bytes, content.length);
  });
}

test("Artifacts.fetch says where there is no JetStream", async () => {
  await using plain = await startTestNatsServer({ jetstream: false });
  await using bench = await Bench.make();
  const connection = await connectNats({ servers: [plain.url] });
  const fetching = bench.fetch({}, connection);
  await assert.rejects(fetching, { code: "artifact_unavailable", message: /JetStream is not enabled/ });
  assert.deepEqual(bench.files(), []);
  await connection.close();
});

/** Things that keep the bytes of an object from coming, once room is reserved. */
const stalls: [what: string, stall: (bench: Bench) => void, goOn: () => void][] = [
  ["a connection that closes", ({ connection }) => void connection.close(), () => undefined],
  [
    "a server that stands still",
    () => process.kill(server.pid, "SIGSTOP"),
    () => process.kill(server.pid, "SIGCONT"),
  ],
];

for (const [what, stall, goOn] of stalls) {
  test(`Artifacts.fetch waits no longer than it may for ${what}, and leaves nothing`, async () => {
    // More bytes than are on their way at once.
    const large = randomBytes(33_554_432);
    const timeMs = 200;
    await using bench = await Bench.make(large, timeMs);
    using _ = { [Symbol.dispose]: goOn };
    const beganMs = performance.now();
    await assert.rejects(bench.fetch({ bytesMax: large.length, reserve: () => stall(bench) }), {
      code: "artifact_unavailable",
      message: /not there within 200 ms/,
    });
    const tookMs = performance.now() - beganMs;
    assert.ok(tookMs >= timeMs && tookMs < waitMs, `${tookMs} ms`);
    assert.deepEqual(bench.files(), []);
  });
}

test("Artifacts.fetch waits no longer than it may for bytes that the bucket has lost", async () => {
  await using bench = await Bench.make(content, 200);
  await bench.removeChunks();
  await assert.rejects(bench.fetch(), {
    code: "artifact_unavailable",
    message: /not there within 200 ms/,
  });
  assert.deepEqual(bench.files(), []);
  await eventually(async () => (await bench.consumers()) === 0, waitMs, "the consumer is gone");
});
