import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { MachineError } from "../errors.ts";
import { removeTree } from "../host/remove-tree.ts";
import { gatherContents, type RootfsContents } from "./contents.ts";
import { type Rootfs, type RootfsManifest, type RootfsOptions, rootfsPaths } from "./options.ts";
import { placeFile } from "./place-file.ts";
import { mountPoints } from "./texts.ts";

const unfinishedPrefix = ".building-";
/** A tree that is still unfinished after this time has lost its builder. */
const unfinishedMsMax = 3_600_000;

/**
 * Builds the root file system of machines as a directory, without root: Node with its libraries, the agent's file,
 * the CA certificates that Node brings, and empty places for mounts. The same inputs give the same tree, which is
 * built once: builders may run at the same time, and none sees half a tree.
 *
 * @throws MachineError `rootfs_failed`
 */
export async function buildRootfsDirectory(options: RootfsOptions): Promise<Rootfs> {
  const contents = await gatherContents(options);
  const { manifest } = contents;
  const output = resolve(options.output);
  const directory = join(output, manifest.digest.slice(0, 32));
  if (await isWhole(directory, manifest)) return { directory, manifest, built: false };
  const unfinished = join(output, `${unfinishedPrefix}${randomBytes(8).toString("hex")}`);
  try {
    await mkdir(output, { recursive: true });
    await removeAbandoned(output);
    await build(unfinished, contents);
    return { directory, manifest, built: await install(unfinished, directory, manifest) };
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    throw new MachineError("rootfs_failed", `Cannot build a rootfs in "${output}"`, { cause });
  } finally {
    await removeTree(unfinished).catch(() => undefined);
  }
}

async function build(directory: string, { manifest, sources }: RootfsContents): Promise<void> {
  const made = new Set<string>();
  await makeDirectory(directory, "/", made);
  for (const place of mountPoints) await makeDirectory(directory, place, made);
  for (const [place, source] of sources) {
    await makeDirectory(directory, dirname(place), made);
    await placeFile(source, join(directory, place), manifest.files[place]?.executable ?? false);
  }
  const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
  await placeFile({ text }, join(directory, rootfsPaths.manifest), false);
}

/** Makes a directory that all may enter (and write to, if it is `/tmp`), whatever this process's mask is, and those above it. */
async function makeDirectory(root: string, place: string, made: Set<string>): Promise<void> {
  if (made.has(place)) return;
  if (place !== "/") await makeDirectory(root, dirname(place), made);
  const path = join(root, place);
  await mkdir(path);
  await chmod(path, place === "/tmp" ? 0o1777 : 0o755);
  made.add(place);
}

/** Gives a finished tree its name. @returns whether it is ours, and not that of another builder. */
async function install(unfinished: string, directory: string, manifest: RootfsManifest): Promise<boolean> {
  try {
    await rename(unfinished, directory);
    return true;
  } catch (error) {
    if (await isWhole(directory, manifest)) return false;
    // What stands there is damaged: out of the way first, because a tree can't replace a tree.
    const broken = `${unfinished}-broken`;
    await rename(directory, broken).catch(() => {
      throw error;
    });
    await rename(unfinished, directory);
    await removeTree(broken);
    return true;
  }
}

/** Are all files there with their sizes? What they hold is not read again. */
async function isWhole(directory: string, manifest: RootfsManifest): Promise<boolean> {
  try {
    for (const [place, { bytes }] of Object.entries(manifest.files)) {
      if ((await stat(join(directory, place))).size !== bytes) return false;
    }
    for (const place of [...mountPoints, rootfsPaths.manifest]) await stat(join(directory, place));
    return true;
  } catch {
    return false;
  }
}

async function removeAbandoned(output: string): Promise<void> {
  for (const name of await readdir(output)) {
    if (!name.startsWith(unfinishedPrefix)) continue;
    const path = join(output, name);
    const facts = await stat(path).catch(() => undefined);
    if (facts && Date.now() - facts.mtimeMs > unfinishedMsMax)
      await rm(path, { recursive: true, force: true });
  }
}
