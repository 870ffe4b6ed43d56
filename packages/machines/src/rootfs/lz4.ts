/**
 * Reads the legacy form of LZ4, in which Linux kernels are compressed: a magic number, then blocks with their length.
 * The format is that of the LZ4 frame and block descriptions of its project.
 */

const magic = 0x184c2102;
/** The most that a block holds uncompressed. */
const blockBytesMax = 8_388_608;
const matchBytesMin = 4;
const lengthMore = 255;
const nibble = 15;

/** Does this begin as LZ4 in its legacy form? */
export function isLz4(bytes: Buffer): boolean {
  return bytes.length > 4 && bytes.readUInt32LE(0) === magic;
}

/**
 * @param bytesMax What comes out may be so large.
 * @throws RangeError when it is cut off, damaged or larger.
 */
export function readLz4(bytes: Buffer, bytesMax: number): Buffer {
  const output = Buffer.allocUnsafe(bytesMax);
  let end = 0;
  for (let at = 4; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    at += 4;
    // Behind the last block stands the size of the kernel.
    if (length === 0 || at + length > bytes.length) break;
    end = readBlock(bytes.subarray(at, at + length), output, end);
    at += length;
  }
  return output.subarray(0, end);
}

/** @returns where the output ends now. */
function readBlock(block: Buffer, output: Buffer, start: number): number {
  let from = 0;
  let to = start;
  const lengthOf = (first: number): number => {
    let length = first;
    if (first !== nibble) return length;
    for (let more = lengthMore; more === lengthMore; length += more) more = byteAt(block, from++);
    return length;
  };
  while (from < block.length) {
    const token = byteAt(block, from++);
    const literals = lengthOf(token >> 4);
    if (from + literals > block.length) throw new RangeError("a block is cut off");
    demandRoom(output, to + literals, to - start + literals);
    block.copy(output, to, from, from + literals);
    from += literals;
    to += literals;
    if (from === block.length) break;
    const distance = byteAt(block, from) | (byteAt(block, from + 1) << 8);
    from += 2;
    const length = lengthOf(token & nibble) + matchBytesMin;
    if (distance === 0 || distance > to) throw new RangeError("a block refers to what is not there");
    demandRoom(output, to + length, to - start + length);
    // What is repeated may reach into what is written.
    if (distance >= length) output.copyWithin(to, to - distance, to - distance + length);
    else
      for (let index = 0; index < length; index++) output[to + index] = byteAt(output, to - distance + index);
    to += length;
  }
  return to;
}

function byteAt(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new RangeError("a block is cut off");
  return byte;
}

function demandRoom(output: Buffer, end: number, blockBytes: number): void {
  if (end > output.length) throw new RangeError(`it is larger than ${output.length} bytes`);
  if (blockBytes > blockBytesMax) throw new RangeError(`a block is larger than ${blockBytesMax} bytes`);
}
