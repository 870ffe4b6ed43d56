import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { zipOf } from "./archives.fixture.ts";
import { readZipEntry } from "./zip.ts";

const bytesMax = 1000;

test("readZipEntry takes the first entry whose name is accepted, stored or deflated", () => {
  const archive = zipOf([
    { name: "a/", content: "" },
    { name: "a/one", content: "first" },
    { name: "a/two", content: "second", deflate: true },
  ]);
  assert.equal(readZipEntry(archive, (name) => name === "a/one", bytesMax)?.toString(), "first");
  assert.equal(readZipEntry(archive, (name) => name.endsWith("two"), bytesMax)?.toString(), "second");
  assert.equal(
    readZipEntry(archive, () => false, bytesMax),
    undefined,
  );
});

test("readZipEntry reads an archive that has a comment behind it", () => {
  const archive = zipOf([{ name: "one", content: "first" }]);
  archive.writeUInt16LE(3, archive.length - 2);
  const commented = Buffer.concat([archive, Buffer.from("hey")]);
  assert.equal(readZipEntry(commented, () => true, bytesMax)?.toString(), "first");
});

test("readZipEntry refuses what is no archive, damaged, or larger than allowed", () => {
  assert.throws(
    () => readZipEntry(Buffer.from("PK, but no more than that, is not a zip"), () => true, bytesMax),
    {
      name: "RangeError",
      message: "it is not a zip archive",
    },
  );
  const damaged = zipOf([{ name: "one", content: "first" }]);
  damaged.write("worst", damaged.indexOf("first"));
  assert.throws(() => readZipEntry(damaged, () => true, bytesMax), /content is damaged/);
  const bomb = zipOf([{ name: "one", content: "0".repeat(bytesMax + 1), deflate: true }]);
  assert.throws(() => readZipEntry(bomb, () => true, bytesMax), /more than 1000 bytes/);
});

test("readZipEntry does not believe an entry that states a smaller size than it has", () => {
  const bomb = zipOf([{ name: "one", content: "0".repeat(bytesMax + 1), deflate: true, statedBytes: 1 }]);
  assert.throws(() => readZipEntry(bomb, () => true, bytesMax), { code: "ERR_BUFFER_TOO_LARGE" });
  assert.ok(deflateRawSync("0".repeat(bytesMax)).length < bytesMax);
});
