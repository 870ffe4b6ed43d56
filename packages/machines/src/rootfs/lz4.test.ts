import assert from "node:assert/strict";
import { test } from "node:test";
import { demandUnpacked, isLz4, readLz4 } from "./lz4.ts";

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

/** A block of many sequences with lengths of every size, and what it holds, made byte by byte beside it. */
function longBlock(sequences: number): { packed: number[]; text: Buffer } {
  let x = 1;
  const random = (below: number): number => {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    return (x >>> 16) % below;
  };
  const packed: number[] = [];
  const text: number[] = [];
  const more = (length: number): number[] => {
    if (length < 15) return [];
    return [...Array<number>(Math.floor((length - 15) / 255)).fill(255), (length - 15) % 255];
  };
  for (let sequence = 0; sequence < sequences; sequence++) {
    const literals = 1 + random(sequence % 9 === 0 ? 600 : 18);
    const match = random(sequence % 7 === 0 ? 900 : 19);
    packed.push((Math.min(literals, 15) << 4) | Math.min(match, 15), ...more(literals));
    for (let at = 0; at < literals; at++) {
      const byte = random(256);
      packed.push(byte);
      text.push(byte);
    }
    const distance = 1 + random(Math.min(text.length, 40));
    packed.push(distance & 255, distance >> 8, ...more(match));
    for (let at = 0; at < match + 4; at++) text.push(text[text.length - distance] ?? 0);
  }
  packed.push(0x10, 33);
  text.push(33);
  return { packed, text: Buffer.from(text) };
}

test("readLz4 reads long blocks right, also once it has been optimized", () => {
  const { packed, text } = longBlock(20_000);
  for (let round = 0; round < 20; round++) {
    const read = readLz4(file(packed), 4 * bytesMax);
    assert.ok(read.equals(text), `round ${round}`);
    demandUnpacked(file(packed), read);
  }
});

test("demandUnpacked refuses what differs in a literal, a repeat or its length", () => {
  const { packed, text } = longBlock(2_000);
  const refused = (unpacked: Buffer): void => {
    assert.throws(() => demandUnpacked(file(packed), unpacked), { name: "RangeError", message: /wrongly/ });
  };
  refused(text.subarray(0, -1));
  refused(Buffer.concat([text, Buffer.from([0])]));
  for (let at = 0; at < text.length; at += 997) {
    const damaged = Buffer.from(text);
    damaged[at] = (text[at] ?? 0) ^ 1;
    refused(damaged);
  }
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
