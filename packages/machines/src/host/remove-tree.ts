/** Removes a directory tree that a workload has written. */
import { chmod, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

/** Maximum depth at which permissions are repaired. PATH_MAX is reached earlier. */
const depthMax = 2048;

/**
 * Removes a directory tree, even if a workload removed the permissions of its own directories. Links are removed but
 * never followed.
 */
export async function removeTree(directory: string): Promise<void> {
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true, maxRetries: 3 });
  try {
    await remove();
  } catch (error) {
    if (!isDenied(error)) throw error;
    await openUp(directory, depthMax);
    await remove();
  }
}

async function openUp(directory: string, depth: number): Promise<void> {
  await chmod(directory, 0o700);
  if (depth === 0) return;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await openUp(join(directory, entry.name), depth - 1);
  }
}

function isDenied(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && ["EACCES", "EPERM", "ENOTEMPTY"].includes(String(error.code))
  );
}
