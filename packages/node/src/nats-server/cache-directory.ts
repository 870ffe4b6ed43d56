import { accessSync, constants, lstatSync, mkdirSync, mkdtempSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { join } from "node:path";

/**
 * Where a person's copies of programs are kept: `$XDG_CACHE_HOME/nex`, else `~/.cache/nex`, else, for those without a
 * home that can be written, a folder of their own under the temporary directory.
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

/** Everybody can write there, and programs will be started from it: a folder that someone else has made is left alone. */
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
