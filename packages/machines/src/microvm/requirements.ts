import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Lack } from "../host/lack.ts";
import type { BootFiles } from "../rootfs/boot-files.ts";
import { guestNetworkMark } from "../rootfs/guest-init.ts";
import { imageFormatOf } from "../rootfs/image-format.ts";

/** Are the files there that every machine boots? */
export async function findBootFilesLack(boot: BootFiles): Promise<Lack | undefined> {
  for (const path of [boot.kernel, boot.initramfs]) {
    const there = await access(path, constants.R_OK).then(
      () => true,
      () => false,
    );
    if (!there) return { reason: `"${path}" is not there`, advice: writeAnew(path) };
  }
  return undefined;
}

/** Does the initramfs set up the network of a machine with egress? One of an earlier version does not. */
export async function findGuestNetworkLack({ initramfs }: BootFiles): Promise<Lack | undefined> {
  const sets = await readFile(initramfs).then(
    (bytes) => bytes.includes(guestNetworkMark),
    () => false,
  );
  if (sets) return undefined;
  return {
    reason: `"${initramfs}" is of an earlier version, which sets up no network`,
    advice: writeAnew(initramfs),
  };
}

function writeAnew(path: string): string {
  return `Run: nex rootfs --format ext4 --kernel apt --output ${dirname(dirname(path))}/`;
}

/** Is it an image that machines can have as their root? */
export async function findImageLack(path: string): Promise<Lack | undefined> {
  const advice = "Run: nex rootfs --format ext4";
  try {
    if ((await imageFormatOf(path)) !== undefined) return undefined;
    return { reason: `"${path}" is neither an ext4 nor a squashfs image`, advice };
  } catch {
    return { reason: `"${path}" is not there`, advice };
  }
}
