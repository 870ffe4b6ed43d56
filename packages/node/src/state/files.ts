/** Files of the state directory that are whole or not there, also after a crash. */
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Suffix of a file that is being written. */
export const unfinishedSuffix = ".new";

/** A file that is on the disk under a temporary name. */
export interface PreparedFile {
  /** Gives the file its name. Returns once the disk has that. */
  commit(): Promise<void>;
  /** Removes the file. */
  discard(): Promise<void>;
}

/** Writes a file under a temporary name, and returns once the disk has its content. */
export async function prepareFile(path: string, text: string): Promise<PreparedFile> {
  const temporary = path + unfinishedSuffix;
  {
    await using file = await open(temporary, "w", 0o600);
    await file.writeFile(text);
    await file.sync();
  }
  return {
    commit: async () => {
      await rename(temporary, path);
      await syncDirectory(dirname(path));
    },
    discard: () => rm(temporary, { force: true }),
  };
}

/** Makes the names in a directory last. */
export async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined;
  try {
    directory = await open(path, "r");
    await directory.sync();
  } finally {
    await directory?.close();
  }
}

/** Reads a file. @returns `undefined` when there is none */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
