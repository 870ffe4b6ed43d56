import { open } from "node:fs/promises";

/** The forms of images, by the endings of their names. */
export type ImageFormat = "ext4" | "squashfs";

/** Where a file system has its mark, what it is, and how long it says in its head that it is. */
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

/** An image, as its head says. */
export interface ImageHead {
  format: ImageFormat;
  /** It is shorter than it says. */
  isCutOff: boolean;
}

/**
 * Reads the head of an image; `undefined` when it has no file system that a machine can mount.
 *
 * @throws what opening the file throws.
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
