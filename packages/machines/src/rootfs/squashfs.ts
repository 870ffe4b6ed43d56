/** Packs a tree into a squashfs image. */
import {
  contentBytes,
  findImageTool,
  imageTime,
  type RootfsImage,
  runImageTool,
  writeImage,
} from "./image-file.ts";
import type { RootfsManifest } from "./options.ts";

/**
 * Compression with the fastest decompression in Debian's kernels. It halves the size, and `-Xhc` would take 30 times
 * as long.
 */
const compression = ["-comp", "lz4"];

/** Reproducible output: one owner, one timestamp, no extended attributes, sorted by name. */
const sameness = [
  ...["-all-root", "-no-xattrs", "-reproducible"],
  ...["-mkfs-time", imageTime, "-all-time", imageTime, "-root-time", imageTime],
];

/**
 * Packs a tree into a squashfs image, without root. All entries belong to root, have one timestamp and are sorted by
 * name, so that equal manifests give equal bytes. The file is renamed into place once it is complete.
 *
 * @throws MachineError `rootfs_failed`
 */
export async function packSquashfs(
  tree: { directory: string; manifest: RootfsManifest },
  path: string,
): Promise<RootfsImage> {
  const program = await findImageTool("mksquashfs");
  return await writeImage(path, contentBytes(tree.manifest), async (unfinished, action) => {
    const quiet = ["-noappend", "-no-progress", "-quiet"];
    await runImageTool(program, [tree.directory, unfinished, ...compression, ...sameness, ...quiet], action);
  });
}
