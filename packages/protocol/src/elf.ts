/**
 * Which ELF files a native workload can be: 64-bit, little-endian, Linux, for the node's processor, and static
 * (neither an interpreter nor needed libraries; static-PIE is fine). Formats: elf(5).
 */

/** Architectures by Go's names, with their ELF machine numbers. */
const machines: ReadonlyMap<number, string> = new Map([
  [0x3e, "amd64"],
  [0xb7, "arm64"],
]);

const ptDynamic = 2;
const ptInterp = 3;
const dtNeeded = 1;

export type ElfVerdict = { ok: true; arch: string } | { ok: false; reason: string };

/** Do these bytes begin as an ELF file? */
export function looksLikeElf(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
  );
}

/**
 * Judges an executable.
 *
 * @param file The whole file.
 * @param arch Go's name of the processor that it must fit; any known one when absent.
 */
export function checkStaticElf(file: Uint8Array, arch?: string): ElfVerdict {
  const no = (reason: string): ElfVerdict => ({ ok: false, reason });
  if (!looksLikeElf(file)) return no("it is not an ELF file");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64) return no("its ELF header is cut off");
  if (file[4] !== 2) return no("it is a 32-bit ELF file, a 64-bit one is needed");
  if (file[5] !== 1) return no("it is a big-endian ELF file");
  const osAbi = file[7];
  if (osAbi !== 0 && osAbi !== 3) return no("it is an ELF file for another system than Linux");
  const type = view.getUint16(16, true);
  if (type !== 2 && type !== 3) return no("it is an ELF file, but not an executable");
  const found = machines.get(view.getUint16(18, true));
  if (found === undefined) return no("it is an ELF file for an unknown processor");
  if (arch !== undefined && found !== arch) return no(`it is built for ${found}, the node runs ${arch}`);
  return checkProgramHeaders(view, found, type);
}

function checkProgramHeaders(view: DataView, arch: string, type: number): ElfVerdict {
  const no = (reason: string): ElfVerdict => ({ ok: false, reason });
  const offset = Number(view.getBigUint64(32, true));
  const size = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  if (count === 0 || size < 56 || offset + size * count > view.byteLength)
    return no("its program headers are cut off");
  let loads = false;
  for (let at = offset; at < offset + size * count; at += size) {
    const kind = view.getUint32(at, true);
    if (kind === 1) loads = true;
    if (kind === ptInterp) return no("it is dynamically linked (it names an interpreter)");
    if (kind === ptDynamic) {
      const begin = Number(view.getBigUint64(at + 8, true));
      const needed = needsLibraries(view, begin, Number(view.getBigUint64(at + 32, true)));
      if (needed === undefined) return no("its dynamic section is cut off");
      if (needed) return no("it is dynamically linked (it needs shared libraries)");
    }
  }
  if (!loads) return no("it has nothing to load");
  if (type === 3 && view.getBigUint64(24, true) === 0n) return no("it is a shared library");
  return { ok: true, arch };
}

function needsLibraries(view: DataView, begin: number, size: number): boolean | undefined {
  if (begin + size > view.byteLength) return undefined;
  for (let at = begin; at + 16 <= begin + size; at += 16) {
    const tag = view.getBigInt64(at, true);
    if (tag === 0n) return false;
    if (tag === BigInt(dtNeeded)) return true;
  }
  return false;
}
