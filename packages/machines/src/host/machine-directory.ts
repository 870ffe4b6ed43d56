import { realpath, stat } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, sep } from "node:path";

/**
 * The real path of a directory that a machine may own, or `undefined`. What lives in it gets killed and all that is
 * in it removed, so none that this process itself needs is taken, whoever asks.
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

/** Is a path the directory itself, or in it? */
export function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}
