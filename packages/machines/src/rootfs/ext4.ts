import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { MachineError } from "../errors.ts";
import { findProgram } from "../host/program.ts";
import { type RootfsManifest, rootfsPaths } from "./options.ts";
import { mountPoints } from "./texts.ts";

const blockBytes = 4_096;
const mebibyte = 1_048_576;
/** What a file system takes for itself, and a part of what is in it. */
const spareBytes = 4 * mebibyte;
const spareShare = 0.02;
const toolTimeoutMs = 120_000;
const outputBytesMax = 4 * mebibyte;
/** The time of everything in an image, in seconds. 0 would mean none. */
const imageTime = "1";

/** No journal, since nobody writes to an image. */
const features =
  "none,extent,filetype,flex_bg,sparse_super,large_file,dir_nlink,extra_isize,metadata_csum,64bit";

/** An image that has been written. */
export interface RootfsImage {
  path: string;
  bytes: number;
}

/** The name of an image in a directory of them, by its manifest's digest. */
export function imageName(digest: string): string {
  return `${digest.slice(0, 32)}.ext4`;
}

/**
 * Packs a tree into a file with an ext4 file system, without root: everything is root's, of one time, and in the order
 * of its name, so that the same manifest and size give the same bytes. The file gets its name when it is whole.
 *
 * @param sizeBytes Of the file; as much as the tree needs when absent.
 * @throws MachineError `rootfs_failed`
 */
export async function packExt4(
  tree: { directory: string; manifest: RootfsManifest },
  path: string,
  sizeBytes?: number,
): Promise<RootfsImage> {
  const output = resolve(path);
  const action = `Cannot write the image "${path}"`;
  const [mkfs, debugfs] = await Promise.all([findFileSystemTool("mke2fs"), findFileSystemTool("debugfs")]);
  const bytes = wholeBlocks(sizeBytes ?? neededBytes(tree.manifest));
  const unfinished = join(dirname(output), `.${basename(output)}-${randomBytes(8).toString("hex")}`);
  try {
    await mkdir(dirname(output), { recursive: true });
    await demandRoom(dirname(output), contentBytes(tree.manifest), action);
    const files = Object.keys(tree.manifest.files).length;
    await run(mkfs, [...mkfsArguments(tree.manifest, files), unfinished, String(bytes / blockBytes)], action);
    const script = packingScript(tree.directory, tree.manifest);
    const told = await run(debugfs, ["-w", "-f", "-", unfinished], action, script);
    const failure = told.stderr.split("\n").find((line) => line !== "" && !line.startsWith("debugfs "));
    if (failure !== undefined)
      throw new MachineError("rootfs_failed", `${action}: ${reasonOf(failure, bytes)}`);
    await rename(unfinished, output);
    return { path: output, bytes };
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MachineError("rootfs_failed", `${action}: ${why}`, { cause });
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** @throws MachineError `rootfs_failed` when this host has no such program. */
export async function findFileSystemTool(name: "mke2fs" | "debugfs" | "e2fsck"): Promise<string> {
  for (const place of [name, `/usr/sbin/${name}`, `/sbin/${name}`]) {
    const found = await findProgram(place);
    if (found !== undefined) return found;
  }
  const advice = 'it comes with "e2fsprogs"';
  throw new MachineError("rootfs_failed", `Cannot handle an ext4 image: "${name}" is not here; ${advice}`);
}

/** Runs a program of the file system with a fixed time. */
export async function run(
  program: string,
  args: string[],
  action: string,
  input = "",
): Promise<{ stdout: string; stderr: string }> {
  const running = promisify(execFile)(program, args, {
    timeout: toolTimeoutMs,
    maxBuffer: outputBytesMax,
    env: { E2FSPROGS_FAKE_TIME: imageTime, SOURCE_DATE_EPOCH: imageTime, LC_ALL: "C", DEBUGFS_PAGER: "cat" },
  });
  running.child.stdin?.on("error", () => undefined);
  running.child.stdin?.end(input);
  return await running.catch((cause: NodeJS.ErrnoException & { stderr?: string }) => {
    const said = cause.stderr?.trim().split("\n").at(-1);
    throw new MachineError("rootfs_failed", `${action}: ${said || cause.message}`, { cause });
  });
}

function mkfsArguments({ digest }: RootfsManifest, files: number): string[] {
  const options = [
    `hash_seed=${uuidOf(`hash ${digest}`)}`,
    "root_owner=0:0",
    "lazy_itable_init=0",
    "nodiscard",
  ];
  return [
    ...["-q", "-F", "-t", "ext4", "-b", String(blockBytes), "-m", "0", "-I", "256"],
    ...["-O", features],
    ...["-N", String(4 * files + 64), "-U", uuidOf(digest), "-E", options.join(",")],
  ];
}

/** What `debugfs` is told. Directories come first: it takes the one above a new one from where it stands. */
function packingScript(directory: string, manifest: RootfsManifest): string {
  const files = [...Object.keys(manifest.files), rootfsPaths.manifest].sort();
  const directories = new Map<string, number>();
  const add = (place: string): void => {
    if (place === "/" || directories.has(place)) return;
    add(dirname(place));
    directories.set(place, place === "/tmp" ? 0o41777 : 0o40755);
  };
  for (const place of [...mountPoints, ...files.map((file) => dirname(file))].sort()) add(place);
  const lines = ["rmdir /lost+found"];
  for (const [place, mode] of directories) lines.push(`mkdir ${quoted(place)}`, ...inode(place, mode));
  for (const place of files) {
    lines.push(`cd ${quoted(dirname(place))}`);
    lines.push(`write ${quoted(join(directory, place))} ${quoted(basename(place))}`);
    lines.push(...inode(place, manifest.files[place]?.executable === true ? 0o100755 : 0o100644));
  }
  // Counts what this host wrote to its disk meanwhile.
  lines.push("ssv kbytes_written 0");
  return `${lines.join("\n")}\n`;
}

function inode(place: string, mode: number): string[] {
  const fields = { mode: `0${mode.toString(8)}`, uid: 0, gid: 0 };
  return Object.entries(fields).map(([name, value]) => `sif ${quoted(place)} ${name} ${value}`);
}

/** @throws MachineError `rootfs_failed` */
function quoted(path: string): string {
  if (!/["\n\\]/.test(path)) return `"${path}"`;
  throw new MachineError(
    "rootfs_failed",
    `Cannot put "${path}" into an image: its name has a quote or a line end`,
  );
}

function contentBytes({ files }: RootfsManifest): number {
  return Object.values(files).reduce((sum, file) => sum + wholeBlocks(file.bytes), 0);
}

function neededBytes(manifest: RootfsManifest): number {
  const bytes = contentBytes(manifest) * (1 + spareShare) + spareBytes;
  return Math.ceil(bytes / mebibyte) * mebibyte;
}

function wholeBlocks(bytes: number): number {
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

function reasonOf(failure: string, bytes: number): string {
  if (!/allocate block|no free space/i.test(failure)) return failure.trim();
  return `a file system of ${Math.floor(bytes / mebibyte)} MiB is too small for the tree`;
}

/** A UUID that stands for a text. */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
