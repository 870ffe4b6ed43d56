import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MachineError } from "../errors.ts";

/** Where boot files are. */
export interface BootFiles {
  kernel: string;
  initramfs: string;
}

/** The content of a boot file. */
interface BootFile {
  sha256: string;
  bytes: number;
}

/** What was written as boot files. It stands beside the kernel, under its name and `.json`. */
export interface BootManifest {
  /** The version of the kernel. */
  version: string;
  kernel: BootFile;
  initramfs: BootFile;
}

const parts = ["kernel", "initramfs"] as const;

/** Where the boot files of all images in a directory are. */
export function bootFilesIn(directory: string): BootFiles {
  return { kernel: join(directory, "boot", "vmlinux"), initramfs: join(directory, "boot", "initramfs") };
}

/** Where the boot files of one image are that has a name of its own. */
export function bootFilesBeside(image: string): BootFiles {
  const name = image.replace(/\.(?:ext4|squashfs)$/, "");
  return { kernel: `${name}.vmlinuz`, initramfs: `${name}.initramfs` };
}

/** Where the manifest of boot files is. */
export function bootManifestPath({ kernel }: BootFiles): string {
  return `${kernel}.json`;
}

/** The manifest of boot files with this content. */
export function bootManifestOf(version: string, contents: Record<keyof BootFiles, Buffer>): BootManifest {
  const told = (bytes: Buffer): BootFile => ({
    sha256: createHash("sha256").update(bytes).digest("hex"),
    bytes: bytes.length,
  });
  return { version, kernel: told(contents.kernel), initramfs: told(contents.initramfs) };
}

/** The boot files that go with a tree or an image, where some were written. */
export function findBootFiles(rootfs: string): BootFiles | undefined {
  const places = [bootFilesBeside(rootfs), bootFilesIn(rootfs), bootFilesIn(dirname(rootfs))];
  return places.find((files) => existsSync(files.kernel) || existsSync(bootManifestPath(files)));
}

/**
 * Compares boot files with their manifest.
 *
 * @returns what differs; nothing when both are as they were written.
 */
export async function verifyBootFiles(files: BootFiles): Promise<string[]> {
  const path = bootManifestPath(files);
  const text = await readFile(path, "utf8").catch(() => undefined);
  // An earlier version wrote none, and may have written a damaged kernel.
  if (text === undefined) return [`${files.kernel} has no manifest (${path})`];
  const manifest = parseManifest(text);
  if (manifest === undefined) return [`${path} is no manifest of boot files`];
  return (await Promise.all(parts.map((part) => differenceOf(files[part], manifest[part])))).flat();
}

/** @throws MachineError `rootfs_failed` when the boot files are not as they were written. */
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
