import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Artifact, artifactSize, checkNative, describe, isStored, readArtifact } from "./artifact.ts";

/** A file that is removed at the end of the block. */
function temporaryFile(content: Uint8Array): { path: string } & Disposable {
  const directory = mkdtempSync(join(tmpdir(), "nex-artifact-"));
  const path = join(directory, "artifact");
  writeFileSync(path, content);
  return { path, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
}

/** The files that this process has open. */
function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

/** A static executable with one segment, whose program headers stand where the header says. */
function elf(headersAt = 64n, machine = 0x3e): Buffer {
  const bytes = Buffer.alloc(120);
  bytes.write("\x7fELF\x02\x01\x01", "latin1");
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(headersAt, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(1, 64);
  return bytes;
}

test("isStored tells an object in a bucket from a file and from bytes", () => {
  const artifacts: [Artifact, boolean][] = [
    [{ bucket: "B", key: "k" }, true],
    [{ path: "x" }, false],
    [{ bytes: Buffer.from("x") }, false],
  ];
  for (const [artifact, stored] of artifacts) assert.equal(isStored(artifact), stored);
});

test("artifactSize is that of the file or of the bytes", () => {
  using file = temporaryFile(Buffer.alloc(1_234));
  assert.equal(artifactSize({ path: file.path }), 1_234);
  assert.equal(artifactSize({ bytes: new Uint8Array(5) }), 5);
});

test("checkNative names the processor of a static executable, in a file and in bytes", () => {
  for (const [machine, arch] of [
    [0x3e, "amd64"],
    [0xb7, "arm64"],
  ] as const) {
    using file = temporaryFile(elf(64n, machine));
    assert.equal(checkNative({ path: file.path }), arch);
    assert.equal(checkNative({ bytes: elf(64n, machine) }), arch);
  }
});

test("checkNative refuses a dynamically linked executable and says how to build a static one", () => {
  assert.throws(() => checkNative({ path: process.execPath }), {
    code: "artifact_invalid",
    message: `Cannot deploy "${process.execPath}": it is dynamically linked (it names an interpreter)`,
    advice: /CGO_ENABLED=0 go build.*gcc -static/,
  });
});

test("checkNative refuses a file whose headers stand beyond its end, without any other failure", () => {
  for (const headersAt of [120n, 2n ** 31n, 2n ** 40n, 2n ** 53n - 1n, 2n ** 64n - 1n]) {
    using file = temporaryFile(elf(headersAt));
    assert.throws(() => checkNative({ path: file.path }), {
      code: "artifact_invalid",
      message: `Cannot deploy "${file.path}": its program headers are truncated`,
    });
  }
});

test("artifactSize and checkNative leave no file open, whatever they find", () => {
  using good = temporaryFile(elf());
  using bad = temporaryFile(Buffer.from("#!/bin/sh\n"));
  artifactSize({ path: good.path });
  checkNative({ path: good.path });
  assert.throws(() => checkNative({ path: bad.path }));
  for (const { path } of [good, bad]) assert.ok(!openFiles().includes(path));
});

test("readArtifact gives the bytes, counts them and hashes them on their way", async () => {
  const content = Buffer.alloc(300_000, "nex");
  using file = temporaryFile(content);
  for (const artifact of [{ path: file.path }, { bytes: content }]) {
    let counted = 0;
    using read = readArtifact(artifact, (bytes) => {
      counted += bytes;
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of read.stream) chunks.push(chunk);
    assert.deepEqual(Buffer.concat(chunks), content);
    assert.equal(counted, content.length);
    assert.equal(read.sha256(), createHash("sha256").update(content).digest("hex"));
  }
});

test("describe names a file by its path", () => {
  assert.equal(describe({ path: "dist/echo" }), '"dist/echo"');
  assert.equal(describe({ bytes: new Uint8Array() }), "the artifact");
});
