import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { tarGzOf, tarOf, zipOf } from "./testing/archives.ts";
import { unpackFiles } from "./unpack.ts";

const bytesMax = 100_000;
const files = { "a/": "", "a/one": "first", "b/one": "another", "a/two": "second" };
const matches = ["one", "two", "three"].map((end) => (name: string) => name.endsWith(`/${end}`));
const texts = (found: (Buffer | undefined)[] | undefined): (string | undefined)[] | undefined =>
  found?.map((content) => content?.toString());

suite("unpackFiles", () => {
  test("takes the first file that each match accepts", async () => {
    const expected = ["first", "second", undefined];
    assert.deepEqual(texts(await unpackFiles(zipOf(files), bytesMax, matches)), expected);
    assert.deepEqual(texts(await unpackFiles(zipOf(files, 9), bytesMax, matches)), expected);
    assert.deepEqual(texts(await unpackFiles(await tarGzOf(files), bytesMax, matches)), expected);
  });

  test("reads a zip archive that ends in a comment", async () => {
    const archive = zipOf(files);
    archive.writeUInt16LE(3, archive.length - 2);
    const commented = Buffer.concat([archive, Buffer.from("hey")]);
    assert.equal((await unpackFiles(commented, bytesMax, matches))?.[0]?.toString(), "first");
  });

  test("returns undefined for other content", async () => {
    assert.equal(await unpackFiles(Buffer.from("\x7fELF program"), bytesMax, matches), undefined);
  });

  test("refuses damaged archives", async () => {
    const refused = async (archive: Buffer, why: RegExp): Promise<void> =>
      await assert.rejects(unpackFiles(archive, bytesMax, matches), { name: "FetchFailure", message: why });
    await refused(Buffer.from("PKnonsense"), /^the archive can't be read: invalid zip data$/);
    await refused(
      gzipSync((await tarOf(files)).subarray(0, 1_030)),
      /^the archive can't be read: .*truncated/,
    );
    await refused(Buffer.from("\x1f\x8bnonsense", "latin1"), /^the archive can't be read: /);
  });

  test("refuses files above the maximum size, and cuts a zipped file at the size that the archive states", async () => {
    const bomb = { "a/one": "0".repeat(bytesMax + 1) };
    await assert.rejects(unpackFiles(zipOf(bomb, 9), bytesMax, matches), /holds more than 100000 bytes/);
    await assert.rejects(
      unpackFiles(await tarGzOf(bomb), bytesMax, matches),
      /can't be read: .*larger than 100000/,
    );
    const lying = zipOf(bomb, 9);
    for (let at = 0; ; ) {
      at = lying.indexOf("a/one", at + 1);
      if (at < 0) break;
      const isDirectory = lying.toString("latin1", at - 46, at - 44) === "PK";
      lying.writeUInt32LE(7, isDirectory ? at - 22 : at - 8);
    }
    assert.equal((await unpackFiles(lying, bytesMax, matches))?.[0]?.length, 7);
  });
});
