/** Abilities of this host that some faults need. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installPackages } from "../../../packages/testing/src/install.ts";

const libraryRoot = "/usr/lib";
const libraryName = "libfaketimeMT.so.1";

/** Runs a program of the host. @returns whether it ended well */
export function runs(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

export interface HostAbilities {
  /** Whether a small file system can be mounted. */
  readonly mounts: boolean;
  /** Whether limits of a running process can be changed. */
  readonly limitsProcesses: boolean;
  /** Library that changes the clock of a process. */
  readonly clockLibrary: string | undefined;
}

/** @param report Told of each fault that is left out, and why. */
export async function hostAbilities(report: (line: string) => void): Promise<HostAbilities> {
  const mounts = canMount();
  if (!mounts) report("No full disk: a file system can't be mounted by this user");
  const limitsProcesses = runs("prlimit", "--version");
  if (!limitsProcesses) report("No node without descriptors: there is no program prlimit");
  if (libraryPath() === undefined) await installPackages(["libfaketime"], report);
  const clockLibrary = libraryPath();
  if (clockLibrary === undefined) report("No clock jumps: there is no libfaketime");
  return { mounts, limitsProcesses, clockLibrary };
}

function canMount(): boolean {
  const directory = mkdtempSync(join(tmpdir(), "nex-mount-"));
  try {
    return mountSmall(directory) && runs("umount", directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Mounts a file system with room for a node and little more. */
export function mountSmall(directory: string): boolean {
  return runs("mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "tmpfs", directory);
}

function libraryPath(): string | undefined {
  const folders = existsSync(libraryRoot)
    ? readdirSync(libraryRoot).filter((name) => name.includes("linux"))
    : [];
  return folders.map((name) => join(libraryRoot, name, "faketime", libraryName)).find(existsSync);
}
