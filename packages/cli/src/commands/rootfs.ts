/** `nex rootfs`: the root file system of machines, built here without root and without a container engine. */
import { statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BaseNotes,
  type BuiltBootFiles,
  bootFilesBeside,
  bootFilesIn,
  buildBootFiles,
  buildRootfsDirectory,
  fetchBootPackages,
  findBootFiles,
  type ImageFormat,
  imageName,
  MachineError,
  packExt4,
  packSquashfs,
  type Rootfs,
  verifyBootFiles,
  verifyRootfs,
} from "@nexengine/machines";
import { defaultRootfsDirectory } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/errors";
import { defaultCacheDirectory } from "@nexengine/provision";
import { type Command, Option } from "commander";
import { agentPath } from "../daemon.ts";
import { parseBytes } from "../limit-options.ts";
import { note, print, printJson } from "../output.ts";

interface RootfsOptions {
  output?: string;
  format: "dir" | ImageFormat;
  size?: number;
  kernel?: string;
  busybox?: string;
  agent?: string;
  base?: string;
  script?: string;
  image?: string;
  json: boolean;
}

/** The value that stands for the kernel of the distribution. */
const distributionKernel = "apt";
const placesShownMax = 5;

/** Adds the command. */
export function addRootfs(program: Command): void {
  const command = program
    .command("rootfs")
    .alias("fs")
    .description("build what machines start from: Node, the agent, and nothing else but a base that is given")
    .option(
      "-o, --output <path>",
      "the image; or the directory in which trees and images are kept, each under its digest; the node's own place otherwise",
    )
    .addOption(
      new Option("--format <format>", "a directory, for containers, or an image, for microVMs")
        .choices(["dir", "ext4", "squashfs"])
        .default("dir"),
    )
    .option("--size <bytes>", "size of an ext4 image, such as 256M; what it needs otherwise", parseBytes)
    .option(
      "--kernel <path>",
      `also write a kernel and an initramfs beside it, from a Debian package, an unpacked one, or "${distributionKernel}"`,
    )
    .option("--busybox <path>", "a static busybox for the initramfs, or the Debian package of one")
    .option("--agent <file>", "the agent's bundle; this command's own otherwise")
    .option(
      "--base <path>",
      "what is below that: a directory, a tar archive (also .gz and .zst), or an image in the form of OCI",
    )
    .option("--script <file>", "a shell script that changes the base first; it is run in it, without network")
    .addOption(new Option("--image <name>", "an image of a registry, which is not fetched: see --base"))
    .option("--json", "print the manifest as JSON", false)
    .action(async (options: RootfsOptions) => {
      await told(rootfs(options));
    });
  command
    .command("verify <path>")
    .description("compare a tree or an image with the manifest in it, and the kernel beside it with its own")
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
  demandSense(options);
  // Nothing is left of an order with a kernel that can't be taken.
  const boot = options.kernel === undefined ? undefined : await buildBoot(options, options.kernel);
  const built =
    options.format === "dir" ? await buildTree(options) : await buildImage(options, options.format);
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
  for (const line of baseLines(built.base)) note(line);
  if (boot !== undefined) note(`Linux ${boot.version}: ${boot.kernel}, ${boot.initramfs}`);
  print("image" in built ? built.image : built.directory);
}

/** @throws NexError `usage` */
function demandSense({ size, format, image, base, script }: RootfsOptions): void {
  if (size !== undefined && format !== "ext4") {
    throw new NexError(
      "usage",
      `Cannot give a size with "--format ${format}": --size is for "--format ext4"`,
    );
  }
  if (image !== undefined) {
    throw new NexError("usage", `Cannot fetch the image "${image}": nothing is fetched for a rootfs`, {
      advice: `Bring it here and give it with --base, such as: skopeo copy docker://${image} oci-archive:base.tar`,
    });
  }
  if (script !== undefined && base === undefined) {
    throw new NexError("usage", `Cannot run "${script}": without --base there is no shell to run it`);
  }
}

function buildTree(options: RootfsOptions): Promise<Rootfs> {
  const { base, script } = options;
  return buildRootfsDirectory({
    output: options.output ?? defaultRootfsDirectory(),
    agentPath: options.agent ?? agentPath(),
    ...(base !== undefined && { base }),
    ...(script !== undefined && {
      script: { path: script, onOutput: (chunk) => void process.stderr.write(chunk) },
    }),
  });
}

/** Lines about the parts that the base has lost, because people may wonder about them. */
function baseLines(notes?: BaseNotes): string[] {
  if (notes === undefined) return [];
  const lines: [places: string[], what: string][] = [
    [notes.replaced, "of the base gave way to Nex's own"],
    [notes.hidden, "of the base left out: not everybody may read it"],
    [notes.special, "of the base left out: a device, a pipe or a socket"],
  ];
  return lines
    .filter(([places]) => places.length > 0)
    .map(([places, what]) => `${places.slice(0, placesShownMax).join(", ")}${more(places.length)} ${what}`);
}

function more(count: number): string {
  return count > placesShownMax ? ` and ${count - placesShownMax} more` : "";
}

/** Packs a tree that nobody needs afterwards. */
async function buildImage(
  options: RootfsOptions,
  format: ImageFormat,
): Promise<Pick<Rootfs, "manifest" | "built" | "base"> & { image: string; bytes: number }> {
  const directory = await mkdtemp(join(tmpdir(), "nex-rootfs-"));
  try {
    const tree = await buildTree({ ...options, output: directory });
    const { manifest, base } = tree;
    const place = placeOf(options);
    const path = "image" in place ? place.image : join(place.directory, imageName(manifest.digest, format));
    const image =
      format === "ext4" ? await packExt4(tree, path, options.size) : await packSquashfs(tree, path);
    return { image: image.path, bytes: image.bytes, manifest, built: true, ...(base && { base }) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function buildBoot(options: RootfsOptions, kernel: string): Promise<BuiltBootFiles> {
  const place = placeOf(options);
  const files = "image" in place ? bootFilesBeside(place.image) : bootFilesIn(place.directory);
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

async function verify(path: string, json: boolean): Promise<void> {
  const { manifest, differences: inTree } = await verifyRootfs(path);
  const boot = findBootFiles(path);
  const differences = [...inTree, ...(boot === undefined ? [] : await verifyBootFiles(boot))];
  if (json) printJson({ path, manifest, differences });
  if (differences.length > 0) {
    throw new NexError(
      "rootfs_failed",
      `The rootfs "${path}" is not what its manifest says: ${differences.join("; ")}`,
      {
        advice: `Build it again: nex rootfs${boot === undefined ? "" : " --kernel apt"}`,
      },
    );
  }
  const files = Object.keys(manifest.files).length;
  if (json) return;
  print(`${path}: all ${files} files are as the manifest ${manifest.digest.slice(0, 32)} says`);
  if (boot !== undefined) print(`${boot.kernel}, ${boot.initramfs}: as they were written`);
}
