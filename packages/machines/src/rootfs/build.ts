/** Builds a rootfs as a directory. */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readlink, rename, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { MachineError } from "../errors.ts";
import { removeTree } from "../host/remove-tree.ts";
import { readBase } from "./base/read.ts";
import { gatherContents, type RootfsContents } from "./contents.ts";
import { type Rootfs, type RootfsManifest, type RootfsOptions, rootfsPaths } from "./options.ts";
import { placeFile } from "./place-file.ts";
import { mountPoints } from "./texts.ts";
import { writeTree } from "./write-tree.ts";

const unfinishedPrefix = ".building-";
/** An unfinished tree of this age is abandoned. */
const unfinishedMsMax = 3_600_000;

/**
 * Builds the machines' root file system as a directory, without root: Node with its libraries, the agent's file,
 * Node's CA certificates, and empty mount points. Equal inputs give the same tree, which is built once. Builders may
 * run concurrently, and none sees a partial tree.
 *
 * @throws MachineError `rootfs_failed`
 */
export async function buildRootfsDirectory(options: RootfsOptions): Promise<Rootfs> {
  const output = resolve(options.output);
  const unfinished = join(output, `${unfinishedPrefix}${randomBytes(8).toString("hex")}`);
  const staging = `${unfinished}-base`;
  try {
    const base = await readBase(options, staging);
    const contents = await gatherContents(options, base?.tree);
    const { manifest, replaced } = contents;
    const notes = base && { replaced, hidden: contents.list.hidden, special: base.special };
    const directory = join(output, manifest.digest.slice(0, 32));
    const found = { directory, manifest, ...(notes && { base: notes }) };
    if (await isWhole(directory, manifest)) return { ...found, built: false };
    await mkdir(output, { recursive: true });
    await removeAbandoned(output);
    await build(unfinished, contents);
    return { ...found, built: await install(unfinished, directory, manifest) };
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    throw new MachineError("rootfs_failed", `Cannot build a rootfs in "${output}"`, { cause });
  } finally {
    await removeTree(unfinished).catch(() => undefined);
    await removeTree(staging).catch(() => undefined);
  }
}

async function build(directory: string, { manifest, list }: RootfsContents): Promise<void> {
  await writeTree(directory, list);
  const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
  await placeFile({ text }, join(directory, rootfsPaths.manifest), false);
}

/** Renames a finished tree into place. @returns `false` if another builder was first. */
async function install(unfinished: string, directory: string, manifest: RootfsManifest): Promise<boolean> {
  try {
    await rename(unfinished, directory);
    return true;
  } catch (error) {
    if (await isWhole(directory, manifest)) return false;
    // The existing tree is damaged. It must be moved away first, because rename can't replace a non-empty directory.
    const broken = `${unfinished}-broken`;
    await rename(directory, broken).catch(() => {
      throw error;
    });
    await rename(unfinished, directory);
    await removeTree(broken);
    return true;
  }
}

/** Checks that all files exist with their sizes. Content is not read. */
async function isWhole(directory: string, manifest: RootfsManifest): Promise<boolean> {
  try {
    for (const [place, { bytes }] of Object.entries(manifest.files)) {
      if ((await stat(join(directory, place))).size !== bytes) return false;
    }
    for (const [place, target] of Object.entries(manifest.links ?? {})) {
      if ((await readlink(join(directory, place))) !== target) return false;
    }
    const places = [...mountPoints, ...(manifest.directories ?? []), rootfsPaths.manifest];
    for (const place of places) await stat(join(directory, place));
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
    if (facts && Date.now() - facts.mtimeMs > unfinishedMsMax) await removeTree(path);
  }
}
