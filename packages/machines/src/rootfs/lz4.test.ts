import assert from "node:assert/strict";
import { test } from "node:test";
import { isLz4, readLz4 } from "./lz4.ts";

const bytesMax = 1_048_576;

/** A file of blocks. */
function file(...blocks: number[][]): Buffer {
  const parts = blocks.map((block) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(block.length);
    return Buffer.concat([length, Buffer.from(block)]);
  });
  return Buffer.concat([Buffer.from([0x02, 0x21, 0x4c, 0x18]), ...parts]);
}

const letters = (text: string): number[] => [...Buffer.from(text)];

test("readLz4 reads literals, repeats, repeats that reach into themselves, and long lengths", () => {
  assert.ok(isLz4(file([0x10, 0x61])));
  assert.equal(String(readLz4(file([0x50, ...letters("hello")]), bytesMax)), "hello");
  // "abcd", then 4 bytes from 4 before, then "!".
  assert.equal(String(readLz4(file([0x40, ...letters("abcd"), 4, 0, 0x10, 0x21]), bytesMax)), "abcdabcd!");
  // "a", then 4 + 15 + 255 + 6 bytes from 1 before.
  const long = readLz4(file([0x1f, 0x61, 1, 0, 255, 6, 0x10, 0x62]), bytesMax);
  assert.equal(String(long), `${"a".repeat(281)}b`);
  // 15 + 3 literals, in a second block that refers to the first.
  const two = readLz4(
    file([0x40, ...letters("wxyz")], [0xf0, 3, ...letters("0123456789abcdefgh")]),
    bytesMax,
  );
  assert.equal(String(two), "wxyz0123456789abcdefgh");
});

test("readLz4 ends at the size that stands behind the blocks", () => {
  const size = Buffer.from([5, 0, 0, 0]);
  assert.equal(String(readLz4(Buffer.concat([file([0x50, ...letters("hello")]), size]), bytesMax)), "hello");
});

test("readLz4 refuses what is cut off, refers to nothing or is too large", () => {
  const refused = (block: number[], message: RegExp, most = bytesMax): void => {
    assert.throws(() => readLz4(file(block), most), { name: "RangeError", message });
  };
  refused([0x50, ...letters("hel")], /cut off/);
  refused([0xf0], /cut off/);
  refused([0x10, 0x61, 1], /cut off/);
  refused([0x10, 0x61, 2, 0], /not there/);
  refused([0x10, 0x61, 0, 0], /not there/);
  refused([0x1f, 0x61, 1, 0, 255, 6, 0x10, 0x62], /larger than 100 bytes/, 100);
});
