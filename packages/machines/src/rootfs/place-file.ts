/** Puts a file in its place in one step. */
import { chmod, constants, copyFile, link, realpath, stat, writeFile } from "node:fs/promises";
import type { Source } from "./file-tree.ts";

/**
 * Puts a world-readable file into a tree. Large programs are hard-linked or reflinked if the file system supports it;
 * otherwise they are copied.
 */
export async function placeFile(source: Source, target: string, executable: boolean): Promise<void> {
  const mode = executable ? 0o755 : 0o644;
  if ("text" in source) await writeFile(target, source.text, { flag: "wx" });
  else if (source.mayChange !== true && (await linked(source.path, target, mode))) return;
  else await copyFile(source.path, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  await chmod(target, mode);
}

/** Links only a file that already has the right mode, because both paths share one inode. */
async function linked(path: string, target: string, mode: number): Promise<boolean> {
  const facts = await stat(path);
  if (mode !== 0o755 || !facts.isFile() || (facts.mode & 0o7777) !== mode) return false;
  if (process.getuid?.() === 0 && facts.uid !== 0) return false;
  try {
    // The kernel would link a symbolic link itself, not its target.
    await link(await realpath(path), target);
    return true;
  } catch {
    return false;
  }
}
