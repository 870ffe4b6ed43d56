import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { isAbsolute, normalize } from "node:path";
import { promisify } from "node:util";
import { MachineError } from "../errors.ts";
import { findLibraries } from "./libraries.ts";
import { type RootfsFile, type RootfsManifest, type RootfsOptions, rootfsPaths } from "./options.ts";
import { mountPoints, rootfsTexts } from "./texts.ts";

/** Goes up when the same inputs give another tree. */
const formatVersion = 1;
const versionTimeoutMs = 10_000;

/** Where the bytes of a file come from. */
export type Source = { path: string } | { text: string };

/** All that a tree will have, and where it comes from. */
export interface RootfsContents {
  manifest: RootfsManifest;
  sources: Map<string, Source>;
}

/** Finds everything that belongs into a tree, and its digest. */
export async function gatherContents(options: RootfsOptions): Promise<RootfsContents> {
  const nodePath = options.nodePath ?? process.execPath;
  const sources = new Map<string, Source>();
  for (const [place, text] of Object.entries(rootfsTexts())) sources.set(place, { text });
  for (const path of await findLibraries(nodePath)) sources.set(normalize(path), { path });
  sources.set(rootfsPaths.node, { path: nodePath });
  sources.set(rootfsPaths.agent, { path: options.agentPath });
  for (const [place, path] of Object.entries(options.files ?? {})) sources.set(checkPlace(place), { path });
  const files: Record<string, RootfsFile> = {};
  for (const place of [...sources.keys()].sort()) files[place] = await measure(place, sources.get(place));
  const versions = { format: formatVersion, node: await nodeVersion(nodePath), arch: process.arch };
  return { manifest: { digest: digestOf({ versions, files }), versions, files }, sources };
}

/** The digest of what a manifest says. */
export function digestOf({ versions, files }: Omit<RootfsManifest, "digest">): string {
  return createHash("sha256").update(JSON.stringify({ versions, files, mountPoints })).digest("hex");
}

/** A place in the tree that can't lead out of it, or under a mount. */
function checkPlace(place: string): string {
  const covered = mountPoints.some((mount) => `${place}/`.startsWith(`${mount}/`));
  if (isAbsolute(place) && normalize(place) === place && !place.endsWith("/") && !covered) return place;
  throw new MachineError("rootfs_failed", `Cannot put a file at "${place}": it is no place in a rootfs`);
}

async function measure(place: string, source: Source | undefined): Promise<RootfsFile> {
  const executable = !place.startsWith("/etc/") && !place.startsWith("/usr/lib/nex/");
  const hash = createHash("sha256");
  if (source === undefined || "text" in source) {
    const bytes = Buffer.from(source?.text ?? "");
    return { sha256: hash.update(bytes).digest("hex"), bytes: bytes.length, executable };
  }
  const { path } = source;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 })) hash.update(chunk);
    return { sha256: hash.digest("hex"), bytes: (await stat(path)).size, executable };
  } catch (cause) {
    throw new MachineError("rootfs_failed", `Cannot read "${path}" for a rootfs`, { cause });
  }
}

async function nodeVersion(nodePath: string): Promise<string> {
  if (nodePath === process.execPath) return process.version;
  try {
    const told = await promisify(execFile)(nodePath, ["--version"], { timeout: versionTimeoutMs, env: {} });
    return told.stdout.trim();
  } catch (cause) {
    throw new MachineError("rootfs_failed", `Cannot run "${nodePath}" to learn its version`, { cause });
  }
}
