import { execFile } from "node:child_process";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { MachineError } from "../errors.ts";

const run = promisify(execFile);
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
    const { stdout } = await run("apt-cache", ["depends", "--important", kernelPackage], {
      timeout: queryTimeoutMs,
    });
    const kernel = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
    if (kernel === undefined)
      throw new MachineError("rootfs_failed", `apt-cache knows no "${kernelPackage}"`);
    await run("apt-get", ["download", kernel, shellPackage], { cwd: directory, timeout: downloadTimeoutMs });
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
  try {
    await run("dpkg-deb", ["--extract", path, directory], { timeout: unpackTimeoutMs });
  } catch (cause) {
    const { code, stderr = "" } = cause as NodeJS.ErrnoException & { stderr?: string };
    const why = code === "ENOENT" ? '"dpkg-deb" is not here' : stderr.trim().split("\n").at(-1);
    throw new MachineError("rootfs_failed", `Cannot unpack "${path}": ${why || String(cause)}`, { cause });
  }
}
