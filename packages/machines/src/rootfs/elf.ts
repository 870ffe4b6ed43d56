/** Reads the interpreter of an executable. */
import { type FileHandle, open } from "node:fs/promises";
import { MachineError } from "../errors.ts";

const magic = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
const headerBytes = 64;
const programHeaderBytes = 56;
const programHeadersMax = 64;
const interpreterType = 3;
const interpreterBytesMax = 256;

/**
 * Returns the dynamic loader of a 64-bit little-endian ELF program, or `undefined` if it is static.
 *
 * @throws MachineError `rootfs_failed` if the file is not such a program.
 */
export async function readInterpreter(path: string): Promise<string | undefined> {
  await using file = await open(path, "r").catch((cause: unknown) => {
    throw new MachineError("rootfs_failed", `Cannot open the program "${path}"`, { cause });
  });
  const header = await readAt(file, 0, headerBytes);
  if (!header.subarray(0, magic.length).equals(magic)) {
    throw new MachineError("rootfs_failed", `Cannot use "${path}": it is not a 64-bit ELF program`);
  }
  const tableOffset = Number(header.readBigUInt64LE(32));
  const count = Math.min(header.readUInt16LE(56), programHeadersMax);
  const table = await readAt(file, tableOffset, count * programHeaderBytes);
  for (let start = 0; start < table.length; start += programHeaderBytes) {
    if (table.readUInt32LE(start) !== interpreterType) continue;
    const offset = Number(table.readBigUInt64LE(start + 8));
    const bytes = Math.min(Number(table.readBigUInt64LE(start + 32)), interpreterBytesMax);
    return (await readAt(file, offset, bytes)).toString("utf8").replace(/\0.*$/s, "");
  }
  return undefined;
}

async function readAt(file: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, offset);
  if (bytesRead === bytes) return buffer;
  throw new MachineError("rootfs_failed", `Cannot read ${bytes} bytes at ${offset}: the file is cut off`);
}
