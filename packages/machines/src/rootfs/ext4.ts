/** Packs a tree into an ext4 image. */
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { MachineError } from "../errors.ts";
import {
  contentBytes,
  findImageTool,
  imageTime,
  type RootfsImage,
  runImageTool,
  wholeBlocks,
  writeImage,
} from "./image-file.ts";
import { type RootfsManifest, rootfsPaths } from "./options.ts";
import { mountPoints } from "./texts.ts";

const blockBytes = 4_096;
const mebibyte = 1_048_576;
/** Space for file system metadata: a fixed size and a share of the content. */
const spareBytes = 4 * mebibyte;
const spareShare = 0.02;
const inodeBytes = 256;

/** No journal, because images are read-only. */
const features =
  "none,extent,filetype,flex_bg,sparse_super,large_file,dir_nlink,extra_isize,metadata_csum,64bit";

/**
 * Packs a tree into an ext4 image, without root. All entries belong to root, have one timestamp and are sorted by
 * name, so that equal manifests and sizes give equal bytes. The file is renamed into place once it is complete.
 *
 * @param sizeBytes Size of the image; by default, as much as the tree needs.
 * @throws MachineError `rootfs_failed`
 */
export async function packExt4(
  tree: { directory: string; manifest: RootfsManifest },
  path: string,
  sizeBytes?: number,
): Promise<RootfsImage> {
  const [mkfs, debugfs] = await Promise.all([findImageTool("mke2fs"), findImageTool("debugfs")]);
  const bytes = wholeBlocks(sizeBytes ?? neededBytes(tree.manifest));
  return await writeImage(path, contentBytes(tree.manifest), async (unfinished, action) => {
    const args = [...mkfsArguments(tree.manifest), unfinished, String(bytes / blockBytes)];
    await runExt4Tool(mkfs, args, action);
    const script = packingScript(tree.directory, tree.manifest);
    const told = await runExt4Tool(debugfs, ["-w", "-f", "-", unfinished], action, script);
    const failure = told.stderr.split("\n").find((line) => line !== "" && !line.startsWith("debugfs "));
    if (failure === undefined) return;
    throw new MachineError("rootfs_failed", `${action}: ${reasonOf(failure, bytes)}`);
  });
}

/** Runs a program of e2fsprogs. */
export async function runExt4Tool(
  program: string,
  args: string[],
  action: string,
  input = "",
): Promise<{ stdout: string; stderr: string }> {
  const env = { E2FSPROGS_FAKE_TIME: imageTime, SOURCE_DATE_EPOCH: imageTime, DEBUGFS_PAGER: "cat" };
  return await runImageTool(program, args, action, { input, env });
}

function mkfsArguments(manifest: RootfsManifest): string[] {
  const { digest } = manifest;
  const options = [
    `hash_seed=${uuidOf(`hash ${digest}`)}`,
    "root_owner=0:0",
    "lazy_itable_init=0",
    "nodiscard",
  ];
  return [
    ...["-q", "-F", "-t", "ext4", "-b", String(blockBytes), "-m", "0", "-I", String(inodeBytes)],
    ...["-O", features],
    ...["-N", String(inodesFor(manifest)), "-U", uuidOf(digest), "-E", options.join(",")],
  ];
}

/** Commands for `debugfs`. Directories come first, because a new directory needs its parent. */
function packingScript(directory: string, manifest: RootfsManifest): string {
  const files = [...Object.keys(manifest.files), rootfsPaths.manifest].sort();
  const links = Object.entries(manifest.links ?? {});
  const directories = new Map<string, number>();
  const add = (place: string): void => {
    if (place === "/" || directories.has(place)) return;
    add(dirname(place));
    directories.set(place, place === "/tmp" ? 0o41777 : 0o40755);
  };
  const above = [...files, ...links.map(([place]) => place)].map((place) => dirname(place));
  for (const place of [...mountPoints, ...(manifest.directories ?? []), ...above].sort()) add(place);
  const lines = ["rmdir /lost+found"];
  for (const [place, mode] of directories) lines.push(`mkdir ${quoted(place)}`, ...inode(place, mode));
  for (const place of files) {
    lines.push(`cd ${quoted(dirname(place))}`);
    lines.push(`write ${quoted(join(directory, place))} ${quoted(basename(place))}`);
    lines.push(...inode(place, manifest.files[place]?.executable === true ? 0o100755 : 0o100644));
  }
  for (const [place, target] of links) {
    lines.push(`cd ${quoted(dirname(place))}`, `symlink ${quoted(basename(place))} ${quoted(target)}`);
    lines.push(...inode(place, 0o120777));
  }
  // Resets a counter of the bytes that this host wrote.
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

function inodesFor({ files, links = {}, directories = [] }: RootfsManifest): number {
  const named = Object.keys(files).length + Object.keys(links).length + directories.length;
  return 4 * named + 64;
}

function neededBytes(manifest: RootfsManifest): number {
  const { links = {}, directories = [] } = manifest;
  // Long links and directories take a block each; of directories there are fewer than of everything else.
  const blocks = Object.keys(links).length + 2 * directories.length + Object.keys(manifest.files).length;
  const tables = inodesFor(manifest) * inodeBytes;
  const bytes = contentBytes(manifest) * (1 + spareShare) + blocks * blockBytes + tables + spareBytes;
  return Math.ceil(bytes / mebibyte) * mebibyte;
}

function reasonOf(failure: string, bytes: number): string {
  if (!/allocate block|no free space/i.test(failure)) return failure.trim();
  return `a file system of ${Math.floor(bytes / mebibyte)} MiB is too small for the tree`;
}

/** Derives a UUID from a text. */
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
