import { open } from "node:fs/promises";

/** The forms of images, by the endings of their names. */
export type ImageFormat = "ext4" | "squashfs";

/** Where a file system has its mark, and what it is. */
const marks: Readonly<Record<ImageFormat, { offset: number; bytes: string }>> = {
  ext4: { offset: 0x438, bytes: "53ef" },
  squashfs: { offset: 0, bytes: "68737173" },
};

/**
 * The form of an image, by the mark of its file system; `undefined` when it has none that a machine can mount.
 *
 * @throws what opening the file throws.
 */
export async function imageFormatOf(path: string): Promise<ImageFormat | undefined> {
  await using file = await open(path, "r");
  for (const format of ["squashfs", "ext4"] as const) {
    const { offset, bytes } = marks[format];
    const length = bytes.length / 2;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    if (bytesRead === length && buffer.toString("hex") === bytes) return format;
  }
  return undefined;
}
