/** Fetches and unpacks the Debian packages of the boot files. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { MachineError } from "../errors.ts";
import { findProgram } from "../host/program.ts";
import { runProgram } from "../host/run-program.ts";

const queryTimeoutMs = 30_000;
const downloadTimeoutMs = 600_000;
const unpackTimeoutMs = 120_000;

/** Debian packages of the boot files: the smallest cloud kernel and a static busybox. */
const kernelPackage = "linux-image-cloud-amd64";
const shellPackage = "busybox-static";

/** Package files on this host. */
export interface BootPackages {
  kernel: string;
  busybox: string;
}

/**
 * Downloads the packages of the boot files with apt-get and its trusted keys, without root. Reuses packages in the
 * directory, because mirrors drop old kernels.
 *
 * @throws MachineError `rootfs_failed`
 */
export async function fetchBootPackages(directory: string): Promise<BootPackages> {
  const found = await findPackages(directory);
  if (found !== undefined) return found;
  try {
    await mkdir(directory, { recursive: true });
    const stdout = await aptOutput("apt-cache", ["depends", "--important", kernelPackage], queryTimeoutMs);
    const kernel = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
    if (kernel === undefined)
      throw new MachineError("rootfs_failed", `apt-cache knows no "${kernelPackage}"`);
    await aptOutput("apt-get", ["download", kernel, shellPackage], downloadTimeoutMs, directory);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new MachineError(
      "rootfs_failed",
      `Cannot download the packages of a kernel with apt-get: ${why}; name a kernel and a static busybox of your own`,
      { cause },
    );
  }
  const fetched = await findPackages(directory);
  if (fetched !== undefined) return fetched;
  throw new MachineError("rootfs_failed", `Cannot find the packages of a kernel in "${directory}"`);
}

async function findPackages(directory: string): Promise<BootPackages | undefined> {
  const names = await readdir(directory).catch(() => [] as string[]);
  const named = (start: string): string | undefined =>
    names
      .filter((name) => name.startsWith(start) && name.endsWith(".deb"))
      .sort()
      .at(-1);
  const [kernel, busybox] = [named("linux-image-"), named(`${shellPackage}_`)];
  if (kernel === undefined || busybox === undefined) return undefined;
  return { kernel: join(directory, kernel), busybox: join(directory, busybox) };
}

/**
 * Unpacks a Debian package.
 *
 * @throws MachineError `rootfs_failed`
 */
export async function unpackPackage(path: string, directory: string): Promise<void> {
  const args = ["--extract", path, directory];
  const { complaint, failure } = await runProgram("dpkg-deb", args, {
    timeoutMs: unpackTimeoutMs,
    env: process.env,
    cwd: process.cwd(),
  });
  if (failure === undefined) return;
  const isMissing = (await findProgram("dpkg-deb")) === undefined;
  const why = isMissing ? '"dpkg-deb" is not here' : complaint.trim().split("\n").at(-1) || failure;
  throw new MachineError("rootfs_failed", `Cannot unpack "${path}": ${why}`);
}

/** Runs a program of apt, which needs this process's environment for proxies. @returns its output. */
async function aptOutput(
  program: string,
  args: readonly string[],
  timeoutMs: number,
  cwd?: string,
): Promise<string> {
  const options = { timeoutMs, env: process.env, ...(cwd !== undefined && { cwd }) };
  const { output, failure } = await runProgram(program, args, options);
  if (failure === undefined) return output;
  throw new MachineError("rootfs_failed", failure);
}
