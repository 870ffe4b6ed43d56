/** Finds programs in the PATH. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join, resolve } from "node:path";

/** Finds a program in the PATH of this process, as a shell does. Returns its absolute path. */
export async function findProgram(name: string): Promise<string | undefined> {
  const directories = name.includes("/")
    ? [""]
    : (process.env["PATH"] ?? "").split(delimiter).filter(isAbsolute);
  for (const directory of directories) {
    const path = resolve(join(directory, name));
    if (await isProgram(path)) return path;
  }
  return undefined;
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
