/** Writes an image file, and finds the programs that make one. */
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { MachineError } from "../errors.ts";
import { findProgram } from "../host/program.ts";
import { runProgram } from "../host/run-program.ts";
import type { ImageFormat } from "./image-format.ts";
import type { RootfsManifest } from "./options.ts";

const mebibyte = 1_048_576;
const toolTimeoutMs = 600_000;
const outputBytesMax = 128 * mebibyte;
const blockBytes = 4_096;

/** Timestamp of all entries of an image, in seconds. 0 would mean unset. */
export const imageTime = "1";

/** An image that was written. */
export interface RootfsImage {
  path: string;
  bytes: number;
}

/** Packages of the programs that handle images. */
const packageOf = {
  mke2fs: "e2fsprogs",
  debugfs: "e2fsprogs",
  e2fsck: "e2fsprogs",
  mksquashfs: "squashfs-tools",
  unsquashfs: "squashfs-tools",
} as const;

/** Returns the file name of an image, derived from its manifest's digest. */
export function imageName(digest: string, format: ImageFormat = "ext4"): string {
  return `${digest.slice(0, 32)}.${format}`;
}

/**
 * Writes an image, and renames it into place once it is complete.
 *
 * @param bytesNeeded Free space required.
 * @param write Gets the path of the unfinished file.
 * @throws MachineError `rootfs_failed`
 */
export async function writeImage(
  path: string,
  bytesNeeded: number,
  write: (unfinished: string, action: string) => Promise<void>,
): Promise<RootfsImage> {
  const output = resolve(path);
  const action = `Cannot write the image "${path}"`;
  const unfinished = join(dirname(output), `.${basename(output)}-${randomBytes(8).toString("hex")}`);
  try {
    await mkdir(dirname(output), { recursive: true });
    await demandRoom(dirname(output), bytesNeeded, action);
    await write(unfinished, action);
    const { size } = await stat(unfinished);
    await rename(unfinished, output);
    return { path: output, bytes: size };
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MachineError("rootfs_failed", `${action}: ${why}`, { cause });
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** @throws MachineError `rootfs_failed` if this host has no such program. */
export async function findImageTool(name: keyof typeof packageOf): Promise<string> {
  for (const place of [name, `/usr/sbin/${name}`, `/sbin/${name}`, `/usr/bin/${name}`]) {
    const found = await findProgram(place);
    if (found !== undefined) return found;
  }
  const form = packageOf[name] === "e2fsprogs" ? "an ext4" : "a squashfs";
  const advice = `it comes with "${packageOf[name]}"`;
  throw new MachineError("rootfs_failed", `Cannot handle ${form} image: "${name}" is not here; ${advice}`);
}

/** Runs a file system tool with a fixed time. */
export async function runImageTool(
  program: string,
  args: string[],
  action: string,
  { input = "", env = {} }: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<{ stdout: string; stderr: string }> {
  const { output, complaint, failure } = await runProgram(program, args, {
    input,
    timeoutMs: toolTimeoutMs,
    outputBytesMax,
    env: { ...env, LC_ALL: "C", TZ: "UTC" },
    cwd: process.cwd(),
  });
  if (failure === undefined) return { stdout: output, stderr: complaint };
  throw new MachineError("rootfs_failed", `${action}: ${complaint.trim().split("\n").at(-1) || failure}`);
}

/** Size of a tree's files in whole blocks, in bytes. */
export function contentBytes({ files }: RootfsManifest): number {
  return Object.values(files).reduce((sum, file) => sum + wholeBlocks(file.bytes), 0);
}

/** Rounds up to a multiple of the block size. */
export function wholeBlocks(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

async function demandRoom(directory: string, bytes: number, action: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize >= bytes) return;
  const free = Math.floor((bavail * bsize) / mebibyte);
  throw new MachineError(
    "rootfs_failed",
    `${action}: it takes ${Math.ceil(bytes / mebibyte)} MiB, and "${directory}" has ${free} MiB left`,
  );
}
