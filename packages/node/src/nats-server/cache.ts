import { randomBytes } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type NatsServerBinary, probeNatsServer } from "./find.ts";

/** Gives `work` a temporary folder beside the cached binaries, and removes it after. */
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

/**
 * Puts a binary into the cache, where `findNatsServer` sees it, in one step: another process finds it whole or not
 * at all.
 *
 * @throws NexError when it does not run, or is too old.
 */
export async function putIntoCache(cacheDirectory: string, binaryPath: string): Promise<NatsServerBinary> {
  await chmod(binaryPath, 0o755);
  const { version } = await probeNatsServer(binaryPath, "fetched");
  const folder = join(cacheDirectory, `nats-server-${version}`);
  const path = join(folder, "nats-server");
  const temporary = join(folder, `.${randomBytes(6).toString("hex")}`);
  await mkdir(folder, { recursive: true });
  try {
    await copyFile(binaryPath, temporary);
    await chmod(temporary, 0o755);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return { path, version, origin: "fetched" };
}
