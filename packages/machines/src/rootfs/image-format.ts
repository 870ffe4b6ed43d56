/** Recognizes the format of an image by its first bytes. */
import { open } from "node:fs/promises";

/** Image formats by file name extension. */
export type ImageFormat = "ext4" | "squashfs";

/** Position of a file system's magic number, its value, and how the size is read from the superblock. */
const marks: Readonly<
  Record<ImageFormat, { offset: number; bytes: string; lengthOf(head: Buffer): number }>
> = {
  ext4: {
    offset: 0x438,
    bytes: "53ef",
    lengthOf: (head) => head.readUInt32LE(0x404) * 2 ** (10 + head.readUInt32LE(0x418)),
  },
  squashfs: { offset: 0, bytes: "68737173", lengthOf: (head) => Number(head.readBigUInt64LE(40)) },
};
const headBytes = 2_048;

/** Properties of an image, from its superblock. */
export interface ImageHead {
  format: ImageFormat;
  /** The file is shorter than its superblock says. */
  isCutOff: boolean;
}

/**
 * Reads the superblock of an image; `undefined` if a machine can't mount its file system.
 *
 * @throws an error if the file can't be opened.
 */
export async function readImageHead(path: string): Promise<ImageHead | undefined> {
  await using file = await open(path, "r");
  const { buffer: head } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
  for (const format of ["squashfs", "ext4"] as const) {
    const { offset, bytes, lengthOf } = marks[format];
    if (!head.subarray(offset).toString("hex").startsWith(bytes)) continue;
    return { format, isCutOff: (await file.stat()).size < lengthOf(head) };
  }
  return undefined;
}
