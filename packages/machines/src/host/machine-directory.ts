/** Checks of a machine's directory before a machine owns it. */
import { realpath, stat } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, sep } from "node:path";

/**
 * Returns the real path of a directory that a machine may own, or `undefined`. Cleanup kills the processes in such a
 * directory and removes its content. Directories that this process itself needs are therefore refused.
 */
export async function ownableDirectory(path: string): Promise<string | undefined> {
  if (!isAbsolute(path)) return undefined;
  try {
    const real = await realpath(path);
    if (!(await stat(real)).isDirectory()) return undefined;
    const needed = [process.cwd(), process.execPath, homedir(), await realpath(tmpdir())];
    return needed.some((place) => contains(real, place)) ? undefined : real;
  } catch {
    return undefined;
  }
}

/** Reports whether a path is the directory itself or inside it. */
export function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}
