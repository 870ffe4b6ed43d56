/**
 * Reader for the legacy LZ4 format of Linux kernels: a magic number, then blocks with a length prefix. See the LZ4
 * frame and block format documents.
 */

const magic = 0x184c2102;
/** Maximum uncompressed size of a block, in bytes. */
const blockBytesMax = 8_388_608;
const matchBytesMin = 4;
const lengthMore = 255;
const nibble = 15;

/** Reports whether the data starts with the legacy LZ4 magic number. */
export function isLz4(bytes: Buffer): boolean {
  return bytes.length > 4 && bytes.readUInt32LE(0) === magic;
}

/**
 * @param bytesMax Maximum size of the output.
 * @throws RangeError if the data is truncated, damaged or too large.
 */
export function readLz4(bytes: Buffer, bytesMax: number): Buffer {
  const output = Buffer.allocUnsafe(bytesMax);
  let end = 0;
  for (let at = 4; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    at += 4;
    // The size of the kernel follows the last block.
    if (length === 0 || at + length > bytes.length) break;
    end = readBlock(bytes.subarray(at, at + length), output, end);
    at += length;
  }
  return output.subarray(0, end);
}

/** @returns the new end of the output. */
function readBlock(block: Buffer, output: Buffer, start: number): number {
  const reader = new BlockReader(block);
  let to = start;
  while (reader.at < block.length) {
    const { literals, literalsAt } = reader.readLiterals();
    demandRoom(output, to + literals, to - start + literals);
    block.copy(output, to, literalsAt, literalsAt + literals);
    to += literals;
    if (reader.at === block.length) break;
    const { distance, length } = reader.readMatch();
    if (distance === 0 || distance > to) throw new RangeError("a block refers to what is not there");
    demandRoom(output, to + length, to - start + length);
    // A match may overlap the bytes that it produces.
    if (distance >= length) output.copyWithin(to, to - distance, to - distance + length);
    else
      for (let index = 0; index < length; index++) output[to + index] = byteAt(output, to - distance + index);
    to += length;
  }
  return to;
}

/**
 * Reads the sequences of a block. The position is a class field because Node 26 miscompiles a closure that changes a
 * number, which damaged a kernel.
 */
class BlockReader {
  readonly #block: Buffer;
  #token = 0;
  at = 0;

  constructor(block: Buffer) {
    this.#block = block;
  }

  readLiterals(): { literals: number; literalsAt: number } {
    this.#token = byteAt(this.#block, this.at++);
    const literals = this.#readLength(this.#token >> 4);
    const literalsAt = this.at;
    if (literalsAt + literals > this.#block.length) throw new RangeError("a block is cut off");
    this.at += literals;
    return { literals, literalsAt };
  }

  readMatch(): { distance: number; length: number } {
    const distance = byteAt(this.#block, this.at) | (byteAt(this.#block, this.at + 1) << 8);
    this.at += 2;
    return { distance, length: this.#readLength(this.#token & nibble) + matchBytesMin };
  }

  #readLength(first: number): number {
    let length = first;
    if (first !== nibble) return length;
    let more = lengthMore;
    while (more === lengthMore) {
      more = byteAt(this.#block, this.at++);
      length += more;
    }
    return length;
  }
}

/**
 * Verifies the output of {@link readLz4} against its input, because this LZ4 format has no checksum. It shares no
 * code with the reader and compares every byte.
 *
 * @throws RangeError if they differ.
 */
export function demandUnpacked(packed: Buffer, unpacked: Buffer): void {
  let at = 4;
  let to = 0;
  while (at + 4 <= packed.length) {
    const blockEnd = at + 4 + packed.readUInt32LE(at);
    if (blockEnd === at + 4 || blockEnd > packed.length) break;
    at += 4;
    while (at < blockEnd) {
      const token = packed[at++] ?? 0;
      let run = token >>> 4;
      if (run === 15) {
        while (packed[at] === 255) {
          run += 255;
          at++;
        }
        run += packed[at++] ?? 0;
      }
      if (!packed.subarray(at, at + run).equals(unpacked.subarray(to, to + run))) throw differs(to);
      at += run;
      to += run;
      if (at === blockEnd) break;
      const distance = packed.readUInt16LE(at);
      at += 2;
      let match = token & 15;
      if (match === 15) {
        while (packed[at] === 255) {
          match += 255;
          at++;
        }
        match += packed[at++] ?? 0;
      }
      match += 4;
      // A match may overlap its source; comparing the ranges as a whole is still correct.
      const source = unpacked.subarray(to - distance, to - distance + match);
      if (!source.equals(unpacked.subarray(to, to + match))) throw differs(to);
      to += match;
    }
  }
  if (to !== unpacked.length) throw differs(to);
}

function differs(at: number): RangeError {
  return new RangeError(`it was unpacked wrongly near byte ${at}`);
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
