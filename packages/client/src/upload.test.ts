import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { NatsConnection } from "@nats-io/nats-core";
import { Objm } from "@nats-io/obj";
import { refusal, startBench } from "./testing/client.ts";

const hexOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function read(connection: NatsConnection, bucket: string, key: string): Promise<Uint8Array | null> {
  const store = await new Objm(connection).open(bucket);
  return store.getBlob(key);
}

/** A file that is removed at the end of the block. */
function temporaryFile(content: Uint8Array): Disposable & { path: string } {
  const directory = mkdtempSync(join(tmpdir(), "nex-upload-"));
  const path = join(directory, "artifact");
  writeFileSync(path, content);
  return { path, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
}

/** Is a file open in this process? `undefined` where that can't be seen. */
function isOpen(path: string): boolean | undefined {
  if (process.platform !== "linux") return undefined;
  return readdirSync("/proc/self/fd").some((fd) => {
    try {
      return readlinkSync(join("/proc/self/fd", fd)) === path;
    } catch {
      return false;
    }
  });
}

for (const bytes of [1, 1_048_576, 3_500_000]) {
  test(`upload brings a file of ${bytes} bytes into a new bucket, and tells how far it is`, async () => {
    await using bench = await startBench();
    const content = randomBytes(bytes);
    using file = temporaryFile(content);
    const steps: number[] = [];
    const uploaded = await bench.client.upload(
      { path: file.path },
      {
        key: "a/b",
        onProgress: (sent, total) => {
          assert.equal(total, bytes);
          steps.push(sent);
        },
      },
    );
    assert.deepEqual(uploaded, { bucket: "NEXCLIFILES", key: "a/b", bytes, sha256: hexOf(content) });
    assert.equal(
      hexOf((await read(bench.client.connection, "NEXCLIFILES", "a/b")) ?? new Uint8Array()),
      hexOf(content),
    );
    assert.equal(steps.at(-1), bytes);
    assert.deepEqual(
      steps,
      [...steps].sort((a, b) => a - b),
    );
    assert.notEqual(isOpen(file.path), true);
  });
}

test("upload takes bytes, and what is there under a key is replaced", async () => {
  await using bench = await startBench();
  for (const text of ["one", "another"]) {
    const uploaded = await bench.client.upload({ bytes: Buffer.from(text) }, { bucket: "B", key: "k" });
    assert.equal(uploaded.sha256, hexOf(Buffer.from(text)));
    assert.equal(Buffer.from((await read(bench.client.connection, "B", "k")) ?? []).toString(), text);
  }
});

test("upload writes down the digest as Go's client does", async () => {
  await using bench = await startBench();
  const bytes = Buffer.from("objput");
  await bench.client.upload({ bytes }, { bucket: "B", key: "k" });
  const store = await new Objm(bench.client.connection).open("B");
  assert.equal((await store.info("k"))?.digest, "SHA-256=mgs451BIPUgK7-F-e7cddFZmEWGmosGg192fe6hz1gc=");
});

test("upload creates a bucket on disk with a limit of one GiB, or that which is asked for", async () => {
  await using bench = await startBench();
  for (const [bucket, bucketBytesMax, expected] of [
    ["A", undefined, 1_073_741_824],
    ["B", 5_000_000, 5_000_000],
  ] as const) {
    const limit = bucketBytesMax === undefined ? {} : { bucketBytesMax };
    await bench.client.upload({ bytes: Buffer.from("x") }, { bucket, key: "k", ...limit });
    const { description, storage, replicas, streamInfo } = await (
      await new Objm(bench.client.connection).open(bucket)
    ).status();
    assert.equal(description, "Artifacts of Nex workloads");
    assert.equal(storage, "file");
    assert.equal(replicas, 1);
    assert.equal(streamInfo.config.max_bytes, expected);
  }
});

test("upload fits its chunks to the server's payload limit", async () => {
  await using bench = await startBench({ config: "max_payload: 65536" });
  const content = randomBytes(200_000);
  await bench.client.upload({ bytes: content }, { bucket: "B", key: "k" });
  assert.equal(hexOf((await read(bench.client.connection, "B", "k")) ?? new Uint8Array()), hexOf(content));
});

test("upload into a bucket that is full says so, and leaves no file open", async () => {
  await using bench = await startBench();
  using file = temporaryFile(randomBytes(4_000_000));
  const error = await refusal(
    bench.client.upload({ path: file.path }, { bucket: "B", key: "k", bucketBytesMax: 2_000_000 }),
  );
  assert.equal(error.code, "upload_failed");
  assert.match(error.message, /^Cannot upload ".*" to bucket "B": the bucket or the server is full/);
  assert.match(error.advice ?? "", /Delete/);
  while (isOpen(file.path)) await new Promise((resolve) => setImmediate(resolve));
});

test("upload without JetStream says how to have it, and opens no file", async () => {
  await using bench = await startBench({ jetstream: false });
  using file = temporaryFile(Buffer.from("x"));
  const error = await refusal(bench.client.upload({ path: file.path }, { key: "k" }));
  assert.equal(error.code, "upload_failed");
  assert.match(error.message, /JetStream is not enabled on this NATS server$/);
  assert.match(error.advice ?? "", /nats-server -js/);
  assert.notEqual(isOpen(file.path), true);
});

test("upload of a user who may not use JetStream, or not write to the bucket, says so at once", async () => {
  const config = `authorization {
    users: [
      { user: all, password: a }
      { user: none, password: n, permissions: { publish: { deny: ["$JS.>"] } } }
      { user: reader, password: r, permissions: { publish: { deny: ["$O.>"] } } }
    ]
  }`;
  await using bench = await startBench({ config, client: { user: "all", password: "a" } });
  await bench.client.upload({ bytes: Buffer.from("x") }, { bucket: "B", key: "k" });
  for (const login of [
    { user: "none", password: "n" },
    { user: "reader", password: "r" },
  ]) {
    const client = await bench.join(login);
    const error = await refusal(client.upload({ bytes: Buffer.from("y") }, { bucket: "B", key: "k" }));
    assert.equal(error.code, "upload_failed", login.user);
    assert.match(error.message, /the NATS server does not permit it/, login.user);
    assert.match(error.advice ?? "", /Log in/, login.user);
  }
});
