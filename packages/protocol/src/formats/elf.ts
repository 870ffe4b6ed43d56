/**
 * Checks that an ELF file can be a native workload: 64-bit, little-endian, Linux, for the node's processor, and static.
 * Static means no interpreter and no needed libraries; static-PIE is allowed. Formats: elf(5).
 */

/** ELF machine numbers of supported architectures, by Go's names. */
const machines: ReadonlyMap<number, string> = new Map([
  [0x3e, "amd64"],
  [0xb7, "arm64"],
]);

/** ELF machine numbers of unsupported architectures, for error messages. */
const otherMachines: ReadonlyMap<number, string> = new Map([
  [0x03, "x86 (32-bit)"],
  [0x08, "MIPS"],
  [0x15, "PowerPC"],
  [0x16, "s390x"],
  [0x28, "ARM (32-bit)"],
  [0xf3, "RISC-V"],
]);

const ptLoad = 1;
const ptDynamic = 2;
const ptInterp = 3;
/** Size of a program header in a 64-bit file; Linux accepts no other. */
const programHeaderBytes = 56;
const dtNull = 0n;
const dtNeeded = 1n;
/** A dynamic section has a few dozen entries. */
const dynamicBytesMax = 65_536;

export type ElfVerdict = { ok: true; arch: string } | { ok: false; reason: string };

/** Whether the bytes start with the ELF magic number. */
export function looksLikeElf(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
  );
}

/** Reads a range of a file. A short result means the end of the file. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/** Reads from memory. */
export const readBytes =
  (bytes: Uint8Array): ReadAt =>
  (offset, length) =>
    bytes.subarray(offset, offset + length);

const no = (reason: string): ElfVerdict => ({ ok: false, reason });

/**
 * Checks an executable by its headers, and reads nothing else.
 *
 * @param arch Required architecture, by Go's name; any supported one when absent.
 */
export function checkStaticElf(read: ReadAt, arch?: string): ElfVerdict {
  const head = read(0, 64);
  if (!looksLikeElf(head)) return no("it is not an ELF file");
  if (head.length < 64) return no("its ELF header is truncated");
  const other = otherMachines.get(viewOf(head).getUint16(18, head[5] !== 2));
  const builtFor = other === undefined ? "" : `, built for ${other}`;
  if (head[4] !== 2)
    return no(`it is a 32-bit ELF file${builtFor}; a 64-bit file for amd64 or arm64 is required`);
  if (head[5] !== 1) return no(`it is a big-endian ELF file${builtFor}`);
  if (head[7] !== 0 && head[7] !== 3) return no("it is an ELF file for an operating system other than Linux");
  const view = viewOf(head);
  const type = view.getUint16(16, true);
  if (type !== 2 && type !== 3) return no("it is an ELF file, but not an executable");
  const found = machines.get(view.getUint16(18, true));
  if (found === undefined) return no(`it is an ELF file for ${other ?? "an unknown processor"}`);
  if (arch !== undefined && found !== arch)
    return no(`it is built for ${found}, but the node's processor is ${arch}`);
  const problem = segmentProblem(read, view);
  if (problem !== undefined) return no(problem);
  if (type === 3 && view.getBigUint64(24, true) === 0n) return no("it is a shared library");
  return { ok: true, arch: found };
}

function segmentProblem(read: ReadAt, header: DataView): string | undefined {
  const offset = Number(header.getBigUint64(32, true));
  const size = header.getUint16(54, true);
  const count = header.getUint16(56, true);
  const cut = "its program headers are truncated";
  // The size is untrusted, and the table is read into memory as a whole.
  if (size !== programHeaderBytes && count > 0) return "its program headers are malformed";
  if (count === 0 || !Number.isSafeInteger(offset)) return cut;
  const table = read(offset, size * count);
  if (table.length < size * count) return cut;
  const view = viewOf(table);
  let loads = false;
  let isDynamic = false;
  for (let at = 0; at < table.length; at += size) {
    const kind = view.getUint32(at, true);
    if (kind === ptLoad) loads = true;
    if (kind === ptInterp) return "it is dynamically linked (it names an interpreter)";
    if (kind !== ptDynamic) continue;
    if (isDynamic) return "it has more than one dynamic section";
    isDynamic = true;
    const begin = Number(view.getBigUint64(at + 8, true));
    const bytes = Number(view.getBigUint64(at + 32, true));
    if (!Number.isSafeInteger(begin) || bytes > dynamicBytesMax)
      return "its dynamic section is out of bounds";
    const section = read(begin, bytes);
    if (section.length < bytes) return "its dynamic section is truncated";
    if (needsLibraries(viewOf(section))) return "it is dynamically linked (it needs shared libraries)";
  }
  return loads ? undefined : "it has no loadable segment";
}

function needsLibraries(section: DataView): boolean {
  for (let at = 0; at + 16 <= section.byteLength; at += 16) {
    const tag = section.getBigInt64(at, true);
    if (tag === dtNull) return false;
    if (tag === dtNeeded) return true;
  }
  return false;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
