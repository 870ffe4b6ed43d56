/** Finds boot files and checks them against their manifest. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MachineError } from "../errors.ts";

/** Paths of boot files. */
export interface BootFiles {
  kernel: string;
  initramfs: string;
}

/** The content of a boot file. */
interface BootFile {
  sha256: string;
  bytes: number;
}

/** Manifest of boot files. It is stored next to the kernel, as `<kernel>.json`. */
export interface BootManifest {
  /** Kernel version. */
  version: string;
  kernel: BootFile;
  initramfs: BootFile;
}

const parts = ["kernel", "initramfs"] as const;

/** Returns the boot file paths shared by all images in a directory. */
export function bootFilesIn(directory: string): BootFiles {
  return { kernel: join(directory, "boot", "vmlinux"), initramfs: join(directory, "boot", "initramfs") };
}

/** Returns the boot file paths of a single named image. */
export function bootFilesBeside(image: string): BootFiles {
  const name = image.replace(/\.(?:ext4|squashfs)$/, "");
  return { kernel: `${name}.vmlinuz`, initramfs: `${name}.initramfs` };
}

/** Returns the path of the manifest. */
export function bootManifestPath({ kernel }: BootFiles): string {
  return `${kernel}.json`;
}

/** Creates the manifest of boot files. */
export function bootManifestOf(version: string, contents: Record<keyof BootFiles, Buffer>): BootManifest {
  const told = (bytes: Buffer): BootFile => ({
    sha256: createHash("sha256").update(bytes).digest("hex"),
    bytes: bytes.length,
  });
  return { version, kernel: told(contents.kernel), initramfs: told(contents.initramfs) };
}

/** Finds the boot files of a tree or an image. */
export function findBootFiles(rootfs: string): BootFiles | undefined {
  const places = [bootFilesBeside(rootfs), bootFilesIn(rootfs), bootFilesIn(dirname(rootfs))];
  return places.find((files) => existsSync(files.kernel) || existsSync(bootManifestPath(files)));
}

/**
 * Compares boot files with their manifest.
 *
 * @returns the differences; empty if both files are intact.
 */
export async function verifyBootFiles(files: BootFiles): Promise<string[]> {
  const path = bootManifestPath(files);
  const text = await readFile(path, "utf8").catch(() => undefined);
  // Earlier versions wrote no manifest, and could write a damaged kernel.
  if (text === undefined) return [`${files.kernel} has no manifest (${path})`];
  const manifest = parseManifest(text);
  if (manifest === undefined) return [`${path} is no manifest of boot files`];
  return (await Promise.all(parts.map((part) => differenceOf(files[part], manifest[part])))).flat();
}

/** @throws MachineError `rootfs_failed` if the boot files differ from their manifest. */
export async function demandBootFiles(files: BootFiles): Promise<void> {
  const differences = await verifyBootFiles(files);
  if (differences.length === 0) return;
  throw new MachineError("rootfs_failed", `Cannot write boot files: ${differences.join("; ")}`);
}

async function differenceOf(path: string, told: BootFile): Promise<string[]> {
  try {
    const { size } = await stat(path);
    if (size !== told.bytes) return [`${path} has ${size} bytes instead of ${told.bytes}`];
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 })) hash.update(chunk);
    return hash.digest("hex") === told.sha256 ? [] : [`${path} has another content`];
  } catch (error) {
    return [`${path} can't be read: ${(error as NodeJS.ErrnoException).code}`];
  }
}

function parseManifest(text: string): BootManifest | undefined {
  try {
    const told = JSON.parse(text) as Partial<BootManifest>;
    const isWhole = parts.every((part) => {
      const file = told[part];
      return typeof file?.sha256 === "string" && Number.isSafeInteger(file.bytes);
    });
    return isWhole && typeof told.version === "string" ? (told as BootManifest) : undefined;
  } catch {
    return undefined;
  }
}
