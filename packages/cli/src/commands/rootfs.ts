/** `nex rootfs`: the root file system of machines, built here without root and without a container engine. */
import { statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BuiltBootFiles,
  bootFilesIn,
  buildBootFiles,
  buildRootfsDirectory,
  fetchBootPackages,
  imageName,
  MachineError,
  packExt4,
  type Rootfs,
  verifyRootfs,
} from "@nexengine/machines";
import { defaultCacheDirectory, defaultRootfsDirectory } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/internal";
import { type Command, Option } from "commander";
import { agentPath } from "../daemon.ts";
import { parseBytes } from "../limit-options.ts";
import { note, print, printJson } from "../output.ts";

interface RootfsOptions {
  output?: string;
  format: "dir" | "ext4";
  size?: number;
  kernel?: string;
  busybox?: string;
  agent?: string;
  json: boolean;
}

/** What stands for the kernel of the distribution. */
const distributionKernel = "apt";

/** Adds the command. */
export function addRootfs(program: Command): void {
  const command = program
    .command("rootfs")
    .alias("fs")
    .description("build what machines start from: Node, the agent, and nothing else")
    .option(
      "-o, --output <path>",
      "the image; or the directory in which trees and images are kept, each under its digest; the node's own place otherwise",
    )
    .addOption(
      new Option("--format <format>", "a directory, for containers, or an image, for microVMs")
        .choices(["dir", "ext4"])
        .default("dir"),
    )
    .option("--size <bytes>", "size of the image, such as 256M; what it needs otherwise", parseBytes)
    .option(
      "--kernel <path>",
      `also write a kernel and an initramfs beside it, from a Debian package, an unpacked one, or "${distributionKernel}"`,
    )
    .option("--busybox <path>", "a static busybox for the initramfs, or the Debian package of one")
    .option("--agent <file>", "the agent's bundle; this command's own otherwise")
    .option("--json", "print the manifest as JSON", false)
    .action(async (options: RootfsOptions) => {
      await told(rootfs(options));
    });
  command
    .command("verify <path>")
    .description("compare a tree or an image with the manifest in it")
    .option("--json", "print the manifest and the differences as JSON", false)
    .action(async (path: string, _: unknown, self: Command) => {
      await told(verify(path, self.optsWithGlobals<RootfsOptions>().json));
    });
}

/** Gives what fails in the making of machines a code of the catalogue. */
async function told(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    throw error instanceof MachineError
      ? new NexError("rootfs_failed", error.message, { cause: error })
      : error;
  });
}

async function rootfs(options: RootfsOptions): Promise<void> {
  if (options.size !== undefined && options.format === "dir") {
    throw new NexError("usage", 'Cannot give a directory a size: --size is for "--format ext4"');
  }
  // Nothing is left of an order with a kernel that can't be taken.
  const boot = options.kernel === undefined ? undefined : await buildBoot(options, options.kernel);
  const built = options.format === "dir" ? await buildTree(options) : await buildImage(options);
  if (options.json) {
    printJson({ ...built, ...(boot && { boot }) });
    return;
  }
  const { manifest } = built;
  const bytes = Object.values(manifest.files).reduce((sum, file) => sum + file.bytes, 0);
  const files = Object.keys(manifest.files).length;
  note(
    `${built.built ? "Built" : "Was there already:"} Node ${manifest.versions.node} (${manifest.versions.arch}), ${files} files, ${(bytes / 1e6).toFixed(1)} MB`,
  );
  if (boot !== undefined) note(`Linux ${boot.version}: ${boot.kernel}, ${boot.initramfs}`);
  print("image" in built ? built.image : built.directory);
}

function buildTree(options: RootfsOptions): Promise<Rootfs> {
  return buildRootfsDirectory({
    output: options.output ?? defaultRootfsDirectory(),
    agentPath: options.agent ?? agentPath(),
  });
}

/** Packs a tree that nobody needs afterwards. */
async function buildImage(
  options: RootfsOptions,
): Promise<Pick<Rootfs, "manifest" | "built"> & { image: string; bytes: number }> {
  const directory = await mkdtemp(join(tmpdir(), "nex-rootfs-"));
  try {
    const tree = await buildTree({ ...options, output: directory });
    const { manifest } = tree;
    const place = placeOf(options);
    const path = "image" in place ? place.image : join(place.directory, imageName(manifest.digest));
    const image = await packExt4(tree, path, options.size);
    return { image: image.path, bytes: image.bytes, manifest, built: true };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function buildBoot(options: RootfsOptions, kernel: string): Promise<BuiltBootFiles> {
  const place = placeOf(options);
  const files =
    "image" in place
      ? { kernel: besideImage(place.image, "vmlinuz"), initramfs: besideImage(place.image, "initramfs") }
      : bootFilesIn(place.directory);
  return await buildBootFiles(await bootSources(kernel, options.busybox), files);
}

async function bootSources(kernel: string, busybox?: string): Promise<{ kernel: string; busybox: string }> {
  if (kernel !== distributionKernel && busybox !== undefined) return { kernel, busybox };
  const packages = await fetchBootPackages(join(defaultCacheDirectory(), "packages"));
  return {
    kernel: kernel === distributionKernel ? packages.kernel : kernel,
    busybox: busybox ?? packages.busybox,
  };
}

/** An image has the name that was given, unless that is a directory's. */
function placeOf({ output, format }: RootfsOptions): { image: string } | { directory: string } {
  if (output === undefined) return { directory: defaultRootfsDirectory() };
  const isDirectory =
    output.endsWith("/") || statSync(output, { throwIfNoEntry: false })?.isDirectory() === true;
  return format === "dir" || isDirectory ? { directory: output } : { image: output };
}

function besideImage(image: string, extension: string): string {
  return `${image.replace(/\.ext4$/, "")}.${extension}`;
}

async function verify(path: string, json: boolean): Promise<void> {
  const { manifest, differences } = await verifyRootfs(path);
  if (json) printJson({ path, manifest, differences });
  if (differences.length > 0) {
    throw new NexError(
      "rootfs_failed",
      `The rootfs "${path}" is not what its manifest says: ${differences.join("; ")}`,
      {
        advice: "Build it again: nex rootfs",
      },
    );
  }
  const files = Object.keys(manifest.files).length;
  if (!json) print(`${path}: all ${files} files are as the manifest ${manifest.digest.slice(0, 32)} says`);
}
