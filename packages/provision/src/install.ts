/** Downloads for `nex preflight --install`. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { withCacheFolder } from "./cache.ts";
import { download, isSha256, shownAddress } from "./download.ts";
import { FetchFailure, lastLine } from "./fetch-failure.ts";
import { firecrackerFolder, firecrackerNames } from "./find-firecracker.ts";
import { askVersion } from "./program.ts";
import { unpackFiles } from "./unpack.ts";

const archiveBytesMax = 134_217_728;
const unpackedBytesMax = 536_870_912;
const packageBytesMax = 268_435_456;

/** A file to download; nothing is taken without its hash. */
export interface DownloadSource {
  url: string;
  sha256: string;
  signal?: AbortSignal;
}

/** Programs that have been put in their place. */
export interface InstalledFirecracker {
  version: string;
  folder: string;
}

/** The version that this Nex was made with. Its archive's hash stands beside it, in `….tgz.sha256.txt`. */
export const firecrackerUrlDefault =
  "https://github.com/firecracker-microvm/firecracker/releases/download/v1.12.1/firecracker-v1.12.1-x86_64.tgz";

/**
 * Downloads Firecracker and its jailer in an archive of their release, and puts both, when both have been seen to run,
 * into a folder of the cache that is there whole or not at all.
 *
 * @throws NexError `install_failed`, or `usage` without a hash.
 */
export async function installFirecracker(
  source: DownloadSource,
  cacheDirectory: string,
): Promise<InstalledFirecracker> {
  return await installing("Firecracker", source, async () => {
    const content = await download({ ...source, bytesMax: archiveBytesMax });
    const found = await unpackFiles(
      content,
      unpackedBytesMax,
      firecrackerNames.map((name) => (path) => isRelease(path, name)),
    );
    if (found === undefined) throw new FetchFailure("it is no archive");
    return await withCacheFolder(cacheDirectory, async (folder) => {
      const made = join(folder, "made");
      await mkdir(made);
      const versions: string[] = [];
      for (const [index, name] of firecrackerNames.entries()) {
        const program = found[index];
        if (program === undefined) throw new FetchFailure(`the archive has no "${name}"`);
        versions.push(await place(join(made, name), program));
      }
      const [version = "", ofJailer] = versions;
      if (version !== ofJailer)
        throw new FetchFailure(`the archive has Firecracker ${version} and the jailer of ${ofJailer}`);
      const target = firecrackerFolder(version, cacheDirectory);
      // One of the same version goes away with our own folder.
      await rename(target, join(folder, "previous")).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
      });
      await rename(made, target);
      return { version, folder: target };
    });
  });
}

/**
 * Downloads a Debian package.
 *
 * @param name What its file name has to begin with.
 * @returns its path, at which it is whole.
 * @throws NexError `install_failed`, or `usage` without a hash.
 */
export async function installPackage(
  source: DownloadSource,
  name: string,
  directory: string,
): Promise<string> {
  return await installing(`the package ${name}`, source, async () => {
    const file = decodeURIComponent(basename(new URL(source.url).pathname));
    if (!file.startsWith(name) || !file.endsWith(".deb") || file.includes("/")) {
      throw new FetchFailure(`its name has to be ${name}….deb, and is "${file}"`);
    }
    const content = await download({ ...source, bytesMax: packageBytesMax });
    await mkdir(directory, { recursive: true });
    const unfinished = join(directory, `.${randomBytes(8).toString("hex")}`);
    try {
      await writeFile(unfinished, content, { flag: "wx", mode: 0o644 });
      await rename(unfinished, join(directory, file));
      return join(directory, file);
    } finally {
      await rm(unfinished, { force: true });
    }
  });
}

/** As releases name them: `release-v1.12.1-x86_64/jailer-v1.12.1-x86_64`; beside them are files for debuggers. */
function isRelease(path: string, name: string): boolean {
  return new RegExp(`^${name}(?:-v[0-9.]+[-a-z0-9.]*-(?:x86_64|aarch64))?$`).test(basename(path));
}

/** @returns its version. */
async function place(path: string, program: Buffer): Promise<string> {
  await writeFile(path, program, { flag: "wx" });
  await chmod(path, 0o755);
  const told = await askVersion(path);
  const version = /\bv(\d+\.\d+\.\d+)/.exec(told.output)?.[1];
  if (told.ok && version !== undefined) return version;
  const state = told.ok ? "is another program" : told.state;
  throw new FetchFailure(`"${basename(path)}", asked for its version, ${state}${lastLine(told.output)}`);
}

async function installing<T>(
  what: string,
  { url, sha256 }: DownloadSource,
  work: () => Promise<T>,
): Promise<T> {
  const from = `Cannot install ${what} from ${shownAddress(url)}`;
  if (!isSha256(sha256)) {
    throw new NexError("usage", `${from}: "${sha256}" is no SHA-256, which has 64 hexadecimal digits`);
  }
  try {
    return await work();
  } catch (cause) {
    throw new NexError("install_failed", `${from}: ${errorText(cause)}`, {
      cause,
      advice: "Nothing was installed. Give the address and the SHA-256 of the very file",
    });
  }
}
