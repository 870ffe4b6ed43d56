/** Unpacks the kernel of a Debian package. */
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { demandUnpacked, isLz4, readLz4 } from "./lz4.ts";

/** Upper bound of an uncompressed kernel, in bytes. */
const kernelBytesMax = 268_435_456;
/** Header fields of an x86 kernel (Linux, Documentation/arch/x86/boot.rst). */
const header = {
  setupSectors: 0x1f1,
  mark: 0x202,
  loadFlags: 0x236,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
};
const sectorBytes = 512;
const setupSectorsDefault = 4;
const headerBytes = 0x250;
/** The uncompressed size follows the compressed kernel. In gzip, it is the last field anyway. */
const sizeBytes = 4;
const elfMagic = "7f454c46";

/** Reports whether this is an x86-64 kernel as packaged by distributions. */
export function isKernel(image: Buffer): boolean {
  if (image.length < headerBytes || image.toString("latin1", header.mark, header.mark + 4) !== "HdrS")
    return false;
  return (image.readUInt16LE(header.loadFlags) & 1) === 1;
}

/**
 * Extracts the kernel from a self-extracting image. Firecracker boots only an uncompressed kernel, and QEMU boots it
 * faster.
 *
 * @throws RangeError if the image contains no kernel, or an unknown compression.
 */
export function uncompressedKernel(image: Buffer): Buffer {
  const sectors = image.readUInt8(header.setupSectors) || setupSectorsDefault;
  const start = (sectors + 1) * sectorBytes + image.readUInt32LE(header.payloadOffset);
  const payload = image.subarray(start, start + image.readUInt32LE(header.payloadLength));
  const kernel = decompressed(payload);
  const bytes = payload.readUInt32LE(payload.length - sizeBytes);
  if (kernel.length !== bytes) throw new RangeError(`it has ${kernel.length} bytes instead of ${bytes}`);
  if (kernel.toString("hex", 0, 4) !== elfMagic) throw new RangeError("what it holds is no ELF file");
  return kernel;
}

function decompressed(payload: Buffer): Buffer {
  if (isLz4(payload)) {
    const kernel = readLz4(payload, kernelBytesMax);
    demandUnpacked(payload, kernel);
    return kernel;
  }
  const options = { maxOutputLength: kernelBytesMax };
  if (payload.toString("hex", 0, 2) === "1f8b") return gunzipSync(payload, options);
  if (payload.toString("hex", 0, 4) === "28b52ffd")
    return zstdDecompressSync(payload.subarray(0, -sizeBytes), options);
  throw new RangeError("it is compressed, and neither by lz4, gzip nor zstd");
}
