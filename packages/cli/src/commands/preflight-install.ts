/** `nex preflight --install`: what microVMs need, downloaded and verified. */
import { join } from "node:path";
import { bootFilesIn, buildBootFiles, fetchBootPackages, MachineError } from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/errors";
import {
  type DownloadSource,
  defaultCacheDirectory,
  findFirecracker,
  firecrackerUrlDefault,
  installFirecracker,
  installPackage,
} from "@nexengine/provision";
import type { Command } from "commander";
import { note } from "../output.ts";

/** The options as commander gives them. */
export interface InstallOptions {
  install: boolean;
  firecrackerUrl?: string;
  firecrackerSha256?: string;
  kernelUrl?: string;
  kernelSha256?: string;
  busyboxUrl?: string;
  busyboxSha256?: string;
}

const kernelPackage = "linux-image-";
const busyboxPackage = "busybox-static_";

/** Adds the options. */
export function addInstallOptions(command: Command): void {
  command
    .option("--install", "first download what microVMs need: Firecracker and its jailer, and a kernel", false)
    .option("--firecracker-url <url>", `where its release is, as .tgz; ${firecrackerUrlDefault} otherwise`)
    .option("--firecracker-sha256 <hash>", "the SHA-256 of that file, without which it is not taken")
    .option("--kernel-url <url>", "where a Debian package of a kernel is; what apt-get brings otherwise")
    .option("--kernel-sha256 <hash>", "the SHA-256 of that file, without which it is not taken")
    .option(
      "--busybox-url <url>",
      "where the Debian package busybox-static is; what apt-get brings otherwise",
    )
    .option("--busybox-sha256 <hash>", "the SHA-256 of that file, without which it is not taken");
}

/** Installs what the options name; nothing is downloaded before all of them make sense. */
export async function install(options: InstallOptions, rootfsDirectory: string): Promise<void> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new NexError(
      "install_failed",
      "Cannot install what microVMs need: they are made on Linux for x64 only",
    );
  }
  const kernel = sourceOf("kernel", options.kernelUrl, options.kernelSha256);
  const busybox = sourceOf("busybox", options.busyboxUrl, options.busyboxSha256);
  const firecracker = firecrackerSource(options);
  const cache = defaultCacheDirectory();
  if (firecracker !== undefined) {
    const { version, folder } = await installFirecracker(firecracker, cache);
    note(`Installed Firecracker ${version} and its jailer: ${folder}`);
  }
  await installBoot(join(cache, "packages"), rootfsDirectory, kernel, busybox);
}

async function installBoot(
  directory: string,
  rootfsDirectory: string,
  kernel?: DownloadSource,
  busybox?: DownloadSource,
): Promise<void> {
  const given = {
    ...(kernel && { kernel: await installPackage(kernel, kernelPackage, directory) }),
    ...(busybox && { busybox: await installPackage(busybox, busyboxPackage, directory) }),
  };
  try {
    const found = kernel && busybox ? undefined : await fetchBootPackages(directory);
    const sources = { kernel: "", busybox: "", ...found, ...given };
    const built = await buildBootFiles(sources, bootFilesIn(rootfsDirectory));
    note(`Installed Linux ${built.version} for machines: ${built.kernel}, ${built.initramfs}`);
  } catch (error) {
    if (!(error instanceof MachineError)) throw error;
    throw new NexError("install_failed", error.message, {
      cause: error,
      advice: "Give packages of your own: --kernel-url, --kernel-sha256, --busybox-url, --busybox-sha256",
    });
  }
}

/** @returns `undefined` when there is a Firecracker already and no other was asked for. */
function firecrackerSource({
  firecrackerUrl,
  firecrackerSha256,
}: InstallOptions): DownloadSource | undefined {
  if (firecrackerUrl === undefined && firecrackerSha256 === undefined) {
    const { program, origin } = findFirecracker();
    if (origin !== "missing") {
      note(`Left Firecracker as it is: ${origin === "path" ? "it is on the PATH" : program}`);
      return undefined;
    }
  }
  return sourceOf("firecracker", firecrackerUrl ?? firecrackerUrlDefault, firecrackerSha256);
}

/** @throws NexError `usage` when an address and a hash do not come together. */
function sourceOf(name: string, url?: string, sha256?: string): DownloadSource | undefined {
  if (url === undefined && sha256 === undefined) return undefined;
  if (url === undefined || sha256 === undefined) {
    const missing = url === undefined ? "url" : "sha256";
    throw new NexError(
      "usage",
      `Cannot install ${name} without --${name}-${missing}: nothing is taken unverified`,
      {
        advice:
          name === "firecracker"
            ? `Look up the SHA-256 of the release, which has it in ${url}.sha256.txt, and give it with --firecracker-sha256`
            : `Give both --${name}-url and --${name}-sha256`,
      },
    );
  }
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return { url, sha256 };
  throw new NexError("usage", `Cannot install ${name}: "${url}" is no address of http or https`);
}
