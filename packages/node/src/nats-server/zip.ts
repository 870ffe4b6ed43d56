import { crc32, inflateRawSync } from "node:zlib";

const endSignature = 0x06054b50;
const entrySignature = 0x02014b50;
const endBytes = 22;
const endSearchBytesMax = endBytes + 0xffff;
const entryBytes = 46;
const localBytes = 30;

/**
 * Takes one file out of a zip archive, by its directory at the end. Plain archives only: no encryption, no zip64, and
 * stored or deflated entries.
 *
 * @param matches Is asked for each name in turn, folders included; the first that it accepts is taken.
 * @returns `undefined` when no name is accepted.
 * @throws RangeError when the archive is damaged or the file is larger than `bytesMax`.
 */
export function readZipEntry(
  archive: Buffer,
  matches: (name: string) => boolean,
  bytesMax: number,
): Buffer | undefined {
  const end = findEnd(archive);
  const count = archive.readUInt16LE(end + 10);
  let offset = archive.readUInt32LE(end + 16);
  for (let index = 0; index < count; index++) {
    if (archive.readUInt32LE(offset) !== entrySignature) throw new RangeError("its directory is damaged");
    const nameBytes = archive.readUInt16LE(offset + 28);
    const name = archive.toString("utf8", offset + entryBytes, offset + entryBytes + nameBytes);
    if (matches(name)) return readEntry(archive, offset, bytesMax);
    offset += entryBytes + nameBytes + archive.readUInt16LE(offset + 30) + archive.readUInt16LE(offset + 32);
  }
  return undefined;
}

function findEnd(archive: Buffer): number {
  const last = archive.length - endBytes;
  for (let at = last; at >= 0 && at > archive.length - endSearchBytesMax; at--) {
    if (archive.readUInt32LE(at) === endSignature) return at;
  }
  throw new RangeError("it is not a zip archive");
}

function readEntry(archive: Buffer, offset: number, bytesMax: number): Buffer {
  const method = archive.readUInt16LE(offset + 10);
  const packedBytes = archive.readUInt32LE(offset + 20);
  const local = archive.readUInt32LE(offset + 42);
  const start = local + localBytes + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  const packed = archive.subarray(start, start + packedBytes);
  if (method !== 0 && method !== 8) throw new RangeError(`it is packed by method ${method}`);
  if (archive.readUInt32LE(offset + 24) > bytesMax)
    throw new RangeError(`it holds more than ${bytesMax} bytes`);
  const content = method === 0 ? packed : inflateRawSync(packed, { maxOutputLength: bytesMax });
  if (crc32(content) !== archive.readUInt32LE(offset + 16)) throw new RangeError("its content is damaged");
  return content;
}
