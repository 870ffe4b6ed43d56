/** The cache of programs: its directory, and temporary folders in it. */
import { accessSync, constants, lstatSync, mkdirSync, mkdtempSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir, userInfo } from "node:os";
import { join } from "node:path";

/**
 * Directory for this user's copies of programs: `$XDG_CACHE_HOME/nex`, else `~/.cache/nex`. A user without a writable
 * home gets a private folder in the temporary directory.
 */
export function defaultCacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.XDG_CACHE_HOME?.startsWith("/")) return join(env.XDG_CACHE_HOME, "nex");
  const home = env.HOME || homedir();
  try {
    accessSync(home, constants.W_OK | constants.X_OK);
    return join(home, ".cache", "nex");
  } catch {
    return privateDirectory(tmpdir());
  }
}

/** Everybody can write to `parent`, and programs are started from the cache, so a folder of another user is not used. */
function privateDirectory(parent: string): string {
  const { uid } = userInfo();
  const path = join(parent, `nex-cache-${uid}`);
  try {
    mkdirSync(path, { mode: 0o700 });
    return path;
  } catch {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    const isOurs = stats?.isDirectory() && stats.uid === uid && (stats.mode & 0o022) === 0;
    return isOurs ? path : mkdtempSync(`${path}-`);
  }
}

/** Passes `work` a temporary folder in the cache, and removes the folder afterwards. */
export async function withCacheFolder<T>(
  cacheDirectory: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  await mkdir(cacheDirectory, { recursive: true });
  const folder = await mkdtemp(join(cacheDirectory, ".fetch-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
