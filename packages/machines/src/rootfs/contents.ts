/** Gathers the files of a rootfs, and their digest. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, isAbsolute, normalize } from "node:path";
import { MachineError } from "../errors.ts";
import { runProgram } from "../host/run-program.ts";
import { FileTree, type Source, type TreeList } from "./file-tree.ts";
import { findLibraries } from "./libraries.ts";
import { type RootfsFile, type RootfsManifest, type RootfsOptions, rootfsPaths } from "./options.ts";
import { mountPoints, rootfsTexts } from "./texts.ts";

/** Increase this number when equal inputs give a different tree. */
const formatVersion = 1;
const versionTimeoutMs = 10_000;

/** Content of a tree and its sources. */
export interface RootfsContents {
  manifest: RootfsManifest;
  list: TreeList;
  /** Files of the base that Nex's own files replace. */
  replaced: string[];
}

/**
 * Collects the content of a tree and computes its digest.
 *
 * @param tree The base below Nex's own files, which are added to it.
 * @throws MachineError `rootfs_failed`
 */
export async function gatherContents(
  options: RootfsOptions,
  tree: FileTree = new FileTree(),
): Promise<RootfsContents> {
  const nodePath = options.nodePath ?? process.execPath;
  const own = new Map<string, Source>();
  for (const [place, text] of Object.entries(rootfsTexts())) own.set(place, { text });
  for (const path of await findLibraries(nodePath)) own.set(normalize(path), { path });
  own.set(rootfsPaths.node, { path: nodePath });
  own.set(rootfsPaths.agent, { path: options.agentPath });
  for (const [place, path] of Object.entries(options.files ?? {})) own.set(checkPlace(place), { path });
  const replaced = addOwn(tree, own);
  const list = tree.list();
  const files: Record<string, RootfsFile> = {};
  for (const [place, { source, executable }] of list.files) {
    files[place] = { ...(await measure(source)), executable };
  }
  const directories = list.directories.filter((place) => !mountPoints.includes(place));
  const told = {
    versions: { format: formatVersion, node: await nodeVersion(nodePath), arch: process.arch },
    files,
    // A tree without a base has neither of these.
    ...(list.links.length > 0 && { links: Object.fromEntries(list.links) }),
    ...(directories.length > 0 && { directories }),
  };
  return { manifest: { digest: digestOf(told), ...told }, list, replaced };
}

/** @returns the files of the base that were replaced. */
function addOwn(tree: FileTree, own: ReadonlyMap<string, Source>): string[] {
  for (const place of mountPoints) tree.clear(place);
  const replaced: string[] = [];
  for (const [place, source] of own) {
    const executable = !place.startsWith("/etc/") && !place.startsWith("/usr/lib/nex/");
    const isTaken = tree.find(place) !== undefined;
    const found = tree.put(place, { kind: "file", source, executable });
    if (isTaken) replaced.push(found);
    if (found === place || (place !== rootfsPaths.node && place !== rootfsPaths.agent)) continue;
    const why = `"${dirname(place)}" is a link in it, to "${dirname(found)}"`;
    throw new MachineError("rootfs_failed", `Cannot put Node and the agent into the base: ${why}`);
  }
  return replaced.sort();
}

/** Computes the digest of a manifest. */
export function digestOf({ versions, files, links, directories }: Omit<RootfsManifest, "digest">): string {
  return createHash("sha256")
    .update(JSON.stringify({ versions, files, links, directories, mountPoints }))
    .digest("hex");
}

/** Validates a path in the tree: it must not leave the tree or be under a mount point. */
function checkPlace(place: string): string {
  const covered = mountPoints.some((mount) => `${place}/`.startsWith(`${mount}/`));
  if (isAbsolute(place) && normalize(place) === place && !place.endsWith("/") && !covered) return place;
  throw new MachineError("rootfs_failed", `Cannot put a file at "${place}": it is no place in a rootfs`);
}

async function measure(source: Source): Promise<Omit<RootfsFile, "executable">> {
  const hash = createHash("sha256");
  if ("text" in source) {
    const bytes = Buffer.from(source.text);
    return { sha256: hash.update(bytes).digest("hex"), bytes: bytes.length };
  }
  const { path } = source;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 })) hash.update(chunk);
    return { sha256: hash.digest("hex"), bytes: (await stat(path)).size };
  } catch (cause) {
    throw new MachineError("rootfs_failed", `Cannot read "${path}" for a rootfs`, { cause });
  }
}

async function nodeVersion(nodePath: string): Promise<string> {
  if (nodePath === process.execPath) return process.version;
  const { output, failure } = await runProgram(nodePath, ["--version"], { timeoutMs: versionTimeoutMs });
  if (failure === undefined) return output.trim();
  throw new MachineError("rootfs_failed", `Cannot run "${nodePath}" to learn its version: ${failure}`);
}
