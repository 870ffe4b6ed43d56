/** Reads a base from a directory, an archive or an OCI image. */
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { MachineError } from "../../errors.ts";
import type { RootfsOptions } from "../options.ts";
import { mountPoints } from "../texts.ts";
import { writeTree } from "../write-tree.ts";
import { addArchive } from "./archive.ts";
import { type Base, emptyBase } from "./base.ts";
import { addDirectory } from "./directory.ts";
import { imageLayers } from "./oci.ts";
import { runScript } from "./script.ts";

/**
 * Reads the base of a rootfs: a directory, a tar archive, or an OCI image as directory or archive. Archives may be
 * compressed with gzip or zstd. The script runs in a copy.
 *
 * @param staging Directory for unpacked files, created if needed. The caller removes it.
 * @throws MachineError `rootfs_failed`
 */
export async function readBase(
  { base, script }: Pick<RootfsOptions, "base" | "script">,
  staging: string,
): Promise<Base | undefined> {
  if (base === undefined && script === undefined) return undefined;
  if (base === undefined) {
    throw new MachineError(
      "rootfs_failed",
      "Cannot run a script without a base: a rootfs of Nex alone has no shell",
    );
  }
  const read = await readTree(base, join(staging, "files"));
  if (script === undefined) return read;
  const copy = join(staging, "tree");
  await mkdir(staging, { recursive: true });
  for (const place of mountPoints) read.tree.clear(place);
  const list = read.tree.list();
  const copied = list.files.map(([place, file]): (typeof list.files)[number] => {
    const { source } = file;
    // The script may write to any of these files.
    return [place, { ...file, source: "path" in source ? { path: source.path, mayChange: true } : source }];
  });
  await writeTree(copy, { ...list, files: copied });
  await runScript(copy, script, read.tree);
  const changed = emptyBase(`what the script "${script.path}" has made of the base`);
  await addDirectory(changed, copy, false);
  return { ...changed, special: [...read.special, ...changed.special] };
}

async function readTree(path: string, files: string): Promise<Base> {
  const base = emptyBase(`the base "${path}"`);
  const facts = await stat(path).catch((cause: unknown) => {
    throw new MachineError("rootfs_failed", `Cannot use the base "${path}": it is not there`, { cause });
  });
  if (facts.isDirectory()) await addDirectory(base, path, true);
  else await addArchive(base, path, join(files, "archive"), 0);
  const layers = await imageLayers(base.tree, path);
  if (layers === undefined) return base;
  const image = emptyBase(`the image "${path}"`);
  for (const [index, layer] of layers.entries()) {
    await addArchive(image, layer, join(files, String(index)), index + 1);
  }
  return image;
}
