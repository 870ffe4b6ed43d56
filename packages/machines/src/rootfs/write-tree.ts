/** Writes a file tree to the disk. */
import { chmod, mkdir, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { TreeList } from "./file-tree.ts";
import { placeFile } from "./place-file.ts";

/** Writes a tree into a new directory. No path in the tree has a link as a parent, so nothing is written elsewhere. */
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

/** Creates a directory and its parents, accessible to all users regardless of the umask; `/tmp` is also writable. */
async function makeDirectory(root: string, place: string, made: Set<string>): Promise<void> {
  if (made.has(place)) return;
  if (place !== "/") await makeDirectory(root, dirname(place), made);
  const path = join(root, place);
  await mkdir(path);
  await chmod(path, place === "/tmp" ? 0o1777 : 0o755);
  made.add(place);
}
