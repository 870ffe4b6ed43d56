import { constants } from "node:fs";
import { access, open } from "node:fs/promises";
import { dirname } from "node:path";
import type { Lack } from "../host/lack.ts";
import type { BootFiles } from "../rootfs/boot-files.ts";

/** Where the magic number of an ext4 image is, and what it is. */
const magicOffset = 0x438;
const magic = 0xef53;

/** Are the files there that every machine boots? */
export async function findBootFilesLack(boot: BootFiles): Promise<Lack | undefined> {
  for (const path of [boot.kernel, boot.initramfs]) {
    const there = await access(path, constants.R_OK).then(
      () => true,
      () => false,
    );
    const advice = `Run: nex rootfs --format ext4 --kernel apt --output ${dirname(dirname(path))}/`;
    if (!there) return { reason: `"${path}" is not there`, advice };
  }
  return undefined;
}

/** Is it an image that machines can have as their root? */
export async function findImageLack(path: string): Promise<Lack | undefined> {
  const advice = "Run: nex rootfs --format ext4";
  try {
    await using file = await open(path, "r");
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, magicOffset);
    return buffer.readUInt16LE() === magic ? undefined : { reason: `"${path}" is no ext4 image`, advice };
  } catch {
    return { reason: `"${path}" is not there`, advice };
  }
}
