/** Builds the kernel and the initramfs of microVMs. */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { MachineError } from "../errors.ts";
import { removeTree } from "../host/remove-tree.ts";
import { type BootFiles, bootManifestOf, bootManifestPath, demandBootFiles } from "./boot-manifest.ts";
import { type CpioEntry, cpioArchive } from "./cpio.ts";
import { readInterpreter } from "./elf.ts";
import { guestApplets, guestInit } from "./guest-init.ts";
import { listenProgram, reseedProgram } from "./guest-programs.ts";
import { findKernel, type Kernel } from "./kernel.ts";
import { unpackPackage } from "./packages.ts";

/** Inputs of the machines' boot files. */
export interface BootFilesOptions {
  /** A Debian kernel package, or a directory with `boot/vmlinuz-*` and `lib/modules`, such as `/`. */
  kernel: string;
  /** A static busybox, or its Debian package. */
  busybox: string;
}

/** Boot files that were written. */
export interface BuiltBootFiles extends BootFiles {
  version: string;
  sha256: { kernel: string; initramfs: string };
}

const directoryMode = 0o40755;
const programMode = 0o100755;
const fileMode = 0o100644;
const linkMode = 0o120777;
const deviceMode = 0o20600;
/** Mount points of the init. */
const initDirectories = ["bin", "dev", "proc", "sys", "run", "image", "lib", "lib/modules"];

/**
 * Writes the kernel and an initramfs, which loads the kernel's modules, mounts a machine's image and starts the
 * agent. Does not need root. Equal inputs give equal bytes.
 *
 * @throws MachineError `rootfs_failed`
 */
export async function buildBootFiles(options: BootFilesOptions, files: BootFiles): Promise<BuiltBootFiles> {
  const directory = await mkdtemp(join(tmpdir(), "nex-boot-files-"));
  try {
    const kernel = await findKernel(await treeOf(options.kernel, join(directory, "kernel")));
    const busybox = await readBusybox(options.busybox, join(directory, "busybox"));
    const contents = { kernel: kernel.image, initramfs: initramfs(kernel, busybox) };
    const manifest = bootManifestOf(kernel.version, contents);
    await replaceFile(files.kernel, contents.kernel);
    await replaceFile(files.initramfs, contents.initramfs);
    await replaceFile(bootManifestPath(files), Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`));
    await demandBootFiles(files);
    const sha256 = { kernel: manifest.kernel.sha256, initramfs: manifest.initramfs.sha256 };
    return { ...files, version: kernel.version, sha256 };
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MachineError(
      "rootfs_failed",
      `Cannot write "${files.kernel}" and "${files.initramfs}": ${why}`,
      { cause },
    );
  } finally {
    await removeTree(directory);
  }
}

/** @returns a directory: the given one, or the unpacked package. */
async function treeOf(path: string, unpacked: string): Promise<string> {
  const facts = await stat(path).catch((cause: unknown) => {
    throw new MachineError("rootfs_failed", `Cannot read "${path}": it is not there`, { cause });
  });
  if (facts.isDirectory()) return path;
  await unpackPackage(path, unpacked);
  return unpacked;
}

async function readBusybox(path: string, unpacked: string): Promise<Buffer> {
  let program = path;
  if (path.endsWith(".deb")) program = join(await treeOf(path, unpacked), "bin", "busybox");
  if ((await readInterpreter(program)) === undefined) return await readFile(program);
  throw new MachineError("rootfs_failed", `Cannot use "${program}" in a machine: it is not static`);
}

function initramfs({ modules }: Kernel, busybox: Buffer): Buffer {
  const numbered = modules.map(({ name, data }, index): CpioEntry => {
    const path = `lib/modules/${String(index).padStart(2, "0")}-${name}.ko`;
    return { path, mode: fileMode, data };
  });
  return cpioArchive([
    ...initDirectories.map((path) => ({ path, mode: directoryMode })),
    { path: "dev/console", mode: deviceMode, device: [5, 1] },
    { path: "bin/busybox", mode: programMode, data: busybox },
    ...guestApplets.map((name) => ({ path: `bin/${name}`, mode: linkMode, data: Buffer.from("busybox") })),
    { path: "bin/listen", mode: programMode, data: listenProgram() },
    { path: "bin/reseed", mode: programMode, data: reseedProgram() },
    ...numbered,
    { path: "init", mode: programMode, data: Buffer.from(guestInit) },
  ]);
}

/** Writes a file atomically. */
async function replaceFile(path: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const unfinished = join(dirname(path), `.${basename(path)}-${randomBytes(8).toString("hex")}`);
  try {
    await writeFile(unfinished, bytes, { flag: "wx", mode: 0o644 });
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
}
