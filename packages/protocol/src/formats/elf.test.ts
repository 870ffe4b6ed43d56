import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../fixtures/random.ts";
import { checkStaticElf, type ElfVerdict, looksLikeElf, type ReadAt, readBytes } from "./elf.ts";

interface Segment {
  type: number;
  content?: Buffer;
  /** Value in the header; the real one unless given. */
  offset?: bigint;
  bytes?: bigint;
}

interface ElfParts {
  class?: number;
  data?: number;
  abi?: number;
  type?: number;
  machine?: number;
  entry?: bigint;
  segments?: Segment[];
  headerBytes?: number;
  headerCount?: number;
  headerOffset?: bigint;
}

const load: Segment = { type: 1 };
const interpreter: Segment = { type: 3, content: Buffer.from("/lib64/ld-linux-x86-64.so.2\0") };

/** A dynamic section of tag and value pairs. */
function dynamic(...tags: bigint[]): Segment {
  const content = Buffer.alloc(tags.length * 16);
  for (const [at, tag] of tags.entries()) content.writeBigInt64LE(tag, at * 16);
  return { type: 2, content };
}

/** Builds a 64-bit ELF file from a header, program headers and segments. */
function elf(parts: ElfParts = {}): Buffer {
  const segments = parts.segments ?? [load];
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header[4] = parts.class ?? 2;
  header[5] = parts.data ?? 1;
  header[6] = 1;
  header[7] = parts.abi ?? 0;
  header.writeUInt16LE(parts.type ?? 2, 16);
  header.writeUInt16LE(parts.machine ?? 0x3e, 18);
  header.writeBigUInt64LE(parts.entry ?? 0x400_000n, 24);
  header.writeBigUInt64LE(parts.headerOffset ?? 64n, 32);
  header.writeUInt16LE(parts.headerBytes ?? 56, 54);
  header.writeUInt16LE(parts.headerCount ?? segments.length, 56);
  const table: Buffer[] = [];
  const contents: Buffer[] = [];
  let at = 64 + 56 * segments.length;
  for (const { type, content = Buffer.alloc(0), offset, bytes } of segments) {
    const entry = Buffer.alloc(56);
    entry.writeUInt32LE(type, 0);
    entry.writeBigUInt64LE(offset ?? BigInt(at), 8);
    entry.writeBigUInt64LE(bytes ?? BigInt(content.length), 32);
    table.push(entry);
    contents.push(content);
    at += content.length;
  }
  return Buffer.concat([header, ...table, ...contents]);
}

const check = (file: Buffer, arch?: string): ElfVerdict => checkStaticElf(readBytes(file), arch);

function refused(file: Buffer, reason: string, arch?: string): void {
  assert.deepEqual(check(file, arch), { ok: false, reason });
}

test("looksLikeElf checks the first four bytes", () => {
  assert.ok(looksLikeElf(elf()));
  for (const bytes of ["", "\x7fEL", "\x7fELG", "#!/bin/sh"]) {
    assert.ok(!looksLikeElf(Buffer.from(bytes, "latin1")), bytes);
  }
});

test("checkStaticElf accepts a static executable and returns its architecture", () => {
  assert.deepEqual(check(elf()), { ok: true, arch: "amd64" });
  assert.deepEqual(check(elf({ machine: 0xb7, abi: 3 })), { ok: true, arch: "arm64" });
  assert.deepEqual(check(elf(), "amd64"), { ok: true, arch: "amd64" });
});

test("checkStaticElf accepts a static-PIE, whose dynamic section needs no library", () => {
  const file = elf({ type: 3, entry: 0x1000n, segments: [load, dynamic(5n, 6n, 0n)] });
  assert.deepEqual(check(file), { ok: true, arch: "amd64" });
});

test("checkStaticElf does not read a dynamic section beyond its end marker", () => {
  const file = elf({ type: 3, entry: 0x1000n, segments: [load, dynamic(5n, 0n, 1n)] });
  assert.deepEqual(check(file), { ok: true, arch: "amd64" });
});

test("checkStaticElf refuses other kinds of files, each with its reason (S14)", () => {
  refused(Buffer.from("#!/bin/sh\n"), "it is not an ELF file");
  refused(elf({ class: 1 }), "it is a 32-bit ELF file; a 64-bit file for amd64 or arm64 is required");
  refused(elf({ data: 2 }), "it is a big-endian ELF file");
  refused(elf({ abi: 9 }), "it is an ELF file for an operating system other than Linux");
  refused(elf({ type: 1 }), "it is an ELF file, but not an executable");
  refused(elf({ type: 4 }), "it is an ELF file, but not an executable");
  refused(elf({ machine: 0xf3 }), "it is an ELF file for RISC-V");
  refused(elf({ machine: 0x9999 }), "it is an ELF file for an unknown processor");
  refused(
    elf({ class: 1, machine: 0x28 }),
    "it is a 32-bit ELF file, built for ARM (32-bit); a 64-bit file for amd64 or arm64 is required",
  );
  refused(elf(), "it is built for amd64, but the node's processor is arm64", "arm64");
});

test("checkStaticElf refuses a dynamically linked executable by its interpreter or by its libraries", () => {
  refused(elf({ segments: [load, interpreter] }), "it is dynamically linked (it names an interpreter)");
  const needing = elf({ type: 3, segments: [load, dynamic(5n, 1n, 0n)] });
  refused(needing, "it is dynamically linked (it needs shared libraries)");
  const unended = elf({ segments: [load, dynamic(5n, 1n)] });
  refused(unended, "it is dynamically linked (it needs shared libraries)");
});

test("checkStaticElf refuses a shared library, which has no entry point", () => {
  refused(elf({ type: 3, entry: 0n, segments: [load, dynamic(0n)] }), "it is a shared library");
});

test("checkStaticElf refuses a file without a loadable segment", () => {
  refused(elf({ segments: [dynamic(0n)] }), "it has no loadable segment");
});

test("checkStaticElf refuses a second dynamic section, which bounds the bytes it reads", () => {
  refused(elf({ segments: [load, dynamic(0n), dynamic(0n)] }), "it has more than one dynamic section");
});

test("checkStaticElf refuses a file truncated at any offset, and never throws", () => {
  const whole = elf({ type: 3, segments: [load, dynamic(5n, 6n, 0n)] });
  assert.ok(check(whole).ok);
  for (let length = 0; length < whole.length; length++) {
    const verdict = check(whole.subarray(0, length));
    assert.ok(!verdict.ok, `${length} bytes`);
    assert.match(verdict.reason, length < 4 ? /not an ELF file$/ : /truncated$/, `${length} bytes`);
  }
});

test("checkStaticElf refuses impossible offsets and sizes", () => {
  const cut = "its program headers are truncated";
  refused(elf({ headerCount: 0 }), cut);
  for (const headerBytes of [0, 55, 57, 65_535]) {
    refused(elf({ headerBytes, headerCount: 65_535 }), "its program headers are malformed");
  }
  refused(elf({ headerOffset: 2n ** 64n - 1n }), cut);
  refused(elf({ headerOffset: 2n ** 53n - 1n }), cut);
  const outOfBounds = "its dynamic section is out of bounds";
  refused(elf({ segments: [load, { type: 2, bytes: 2n ** 64n - 1n }] }), outOfBounds);
  refused(elf({ segments: [load, { type: 2, bytes: 65_537n }] }), outOfBounds);
  refused(elf({ segments: [load, { type: 2, offset: 2n ** 64n - 1n, bytes: 16n }] }), outOfBounds);
  refused(
    elf({ segments: [load, { type: 2, offset: 2n ** 40n, bytes: 16n }] }),
    "its dynamic section is truncated",
  );
});

test("checkStaticElf never reads more than a few MiB, whatever the header says", () => {
  const random = seededRandom(4);
  for (let round = 0; round < 3000; round++) {
    const file = elf({ type: 2 + random.below(2), segments: [load, dynamic(5n, 0n), interpreter] });
    // Damage bytes after the identification, and often the size and number of program headers.
    for (let damage = 1 + random.below(6); damage > 0; damage--) {
      const at = random.below(2) === 0 ? 54 + random.below(4) : 20 + random.below(file.length - 20);
      file[at] = random.of([0, 1, 255, random.below(256)]);
    }
    const read: ReadAt = (offset, length) => {
      assert.ok(Number.isSafeInteger(offset) && offset >= 0, `offset ${offset}`);
      assert.ok(length <= 4 * 1024 * 1024, `${length} bytes were asked for`);
      return file.subarray(offset, offset + length);
    };
    assert.equal(typeof checkStaticElf(read).ok, "boolean");
  }
});
