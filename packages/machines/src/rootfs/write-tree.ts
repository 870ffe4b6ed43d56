import { chmod, mkdir, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { TreeList } from "./file-tree.ts";
import { placeFile } from "./place-file.ts";

/**
 * Writes a tree into a directory that is not there yet. No place in it has a link above it, so nothing is written
 * elsewhere.
 */
export async function writeTree(
  root: string,
  { directories, files, links }: Pick<TreeList, "directories" | "files" | "links">,
): Promise<void> {
  const made = new Set<string>();
  await makeDirectory(root, "/", made);
  for (const place of directories) await makeDirectory(root, place, made);
  for (const [place, { source, executable }] of files) {
    await makeDirectory(root, dirname(place), made);
    await placeFile(source, join(root, place), executable);
  }
  for (const [place, target] of links) {
    await makeDirectory(root, dirname(place), made);
    await symlink(target, join(root, place));
  }
}

/** Makes a directory that all may enter (and write to, if it is `/tmp`), whatever this process's mask is, and those above it. */
async function makeDirectory(root: string, place: string, made: Set<string>): Promise<void> {
  if (made.has(place)) return;
  if (place !== "/") await makeDirectory(root, dirname(place), made);
  const path = join(root, place);
  await mkdir(path);
  await chmod(path, place === "/tmp" ? 0o1777 : 0o755);
  made.add(place);
}
