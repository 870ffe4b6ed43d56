/** Verifies that a rootfs is what its manifest says. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MachineError } from "../errors.ts";
import { digestOf } from "./contents.ts";
import { readImageHead } from "./image-format.ts";
import { type RootfsFile, type RootfsManifest, rootfsPaths } from "./options.ts";
import { squashfsReader } from "./squashfs-reader.ts";
import { mountPoints } from "./texts.ts";
import { directoryReader, ext4Reader, type TreeEntry, type TreeReader } from "./tree-reader.ts";

/** Result of verifying a rootfs. */
export interface RootfsVerdict {
  manifest: RootfsManifest;
  /** Differences from the manifest, at most 100 lines; empty if the rootfs is intact. */
  differences: string[];
}

const manifestBytesMax = 33_554_432;
const entriesMax = 131_072;
const differencesMax = 100;
const readsAtOnce = 4;

/**
 * Compares a rootfs directory or image with its manifest: every file's digest, unlisted entries, and the manifest's
 * own digest.
 *
 * @throws MachineError `rootfs_failed` if it can't be read or has no manifest.
 */
export async function verifyRootfs(path: string): Promise<RootfsVerdict> {
  const reader = await readerOf(path);
  const manifest = await readManifest(reader, path);
  const found = await walk(reader, path);
  const differences: string[] = [];
  if (digestOf(manifest) !== manifest.digest)
    differences.push("the manifest has another digest than it says");
  const files = Object.entries(manifest.files);
  for (let at = 0; at < files.length; at += readsAtOnce) {
    // In an image, a separate program reads each file.
    const reading = files.slice(at, at + readsAtOnce).map(([place, file]) => {
      const entry = found.get(place);
      found.delete(place);
      return differencesOf(reader, place, file, entry);
    });
    differences.push(...(await Promise.all(reading)).flat());
  }
  for (const [place, target] of Object.entries(manifest.links ?? {})) {
    const isLink = found.get(place)?.kind === "link";
    found.delete(place);
    if (!isLink) differences.push(`${place} is missing`);
    else if ((await reader.readLink(place)) !== target) differences.push(`${place} leads elsewhere`);
  }
  differences.push(...differencesOfRest(found, manifest));
  return { manifest, differences: differences.slice(0, differencesMax) };
}

async function readerOf(path: string): Promise<TreeReader> {
  const facts = await stat(path).catch((cause: unknown) => {
    throw new MachineError("rootfs_failed", `Cannot read the rootfs "${path}": it is not there`, { cause });
  });
  if (facts.isDirectory()) return directoryReader(path);
  return (await readImageHead(path))?.format === "squashfs"
    ? await squashfsReader(path)
    : await ext4Reader(path);
}

async function readManifest(reader: TreeReader, path: string): Promise<RootfsManifest> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of reader.read(rootfsPaths.manifest)) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > manifestBytesMax) break;
    }
    const told: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    if (isManifest(told)) return told;
  } catch (cause) {
    throw new MachineError("rootfs_failed", `Cannot verify "${path}": it has no manifest of Nex`, { cause });
  }
  throw new MachineError("rootfs_failed", `Cannot verify "${path}": its manifest is none of Nex`);
}

function isManifest(told: unknown): told is RootfsManifest {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject(told) || typeof told["digest"] !== "string") return false;
  if (!isObject(told["versions"]) || !isObject(told["files"])) return false;
  const { links = {}, directories = [] } = told;
  if (
    !isObject(links) ||
    !Object.entries(links).every(([place, to]) => isPlace(place) && typeof to === "string")
  )
    return false;
  if (!Array.isArray(directories) || !directories.every(isPlace)) return false;
  return Object.entries(told["files"]).every(
    ([place, file]) =>
      isPlace(place) &&
      isObject(file) &&
      typeof file["sha256"] === "string" &&
      Number.isSafeInteger(file["bytes"]) &&
      typeof file["executable"] === "boolean",
  );
}

function isPlace(place: unknown): boolean {
  return typeof place === "string" && /^\/[^"\n]+$/.test(place);
}

/** Lists all entries of the tree by path. */
async function walk(reader: TreeReader, path: string): Promise<Map<string, TreeEntry>> {
  const found = new Map<string, TreeEntry>();
  const directories = ["/"];
  for (let place = directories.pop(); place !== undefined; place = directories.pop()) {
    for (const [name, entry] of await reader.list(place)) {
      const inside = join(place, name);
      found.set(inside, entry);
      if (entry.kind === "directory") directories.push(inside);
    }
    if (found.size > entriesMax) {
      throw new MachineError("rootfs_failed", `Cannot verify "${path}": it has over ${entriesMax} entries`);
    }
  }
  return found;
}

async function differencesOf(
  reader: TreeReader,
  place: string,
  file: RootfsFile,
  entry: TreeEntry | undefined,
): Promise<string[]> {
  if (entry?.kind !== "file") return [`${place} is missing`];
  if (entry.bytes !== file.bytes) return [`${place} has ${entry.bytes} bytes instead of ${file.bytes}`];
  const hash = createHash("sha256");
  for await (const chunk of reader.read(place)) hash.update(chunk);
  const differences = hash.digest("hex") === file.sha256 ? [] : [`${place} has another content`];
  if (entry.mode !== (file.executable ? 0o755 : 0o644)) {
    differences.push(`${place} has the permissions ${entry.mode.toString(8)}`);
  }
  if (entry.owner !== undefined && entry.owner !== "0:0")
    differences.push(`${place} belongs to ${entry.owner}`);
  return differences;
}

/** Only parent directories, mount points and the manifest itself may exist besides the listed entries. */
function differencesOfRest(rest: Map<string, TreeEntry>, manifest: RootfsManifest): string[] {
  const directories = new Set<string>();
  const { files, links = {}, directories: empty = [] } = manifest;
  const inside = [...mountPoints, ...empty].map((place) => join(place, "x"));
  for (const place of [...inside, ...Object.keys(files), ...Object.keys(links)]) {
    for (let above = dirname(place); above !== "/"; above = dirname(above)) directories.add(above);
  }
  const missing = [...directories].filter((place) => rest.get(place)?.kind !== "directory");
  const expected = (place: string, { kind }: TreeEntry): boolean =>
    kind === "directory" ? directories.has(place) : kind === "file" && place === rootfsPaths.manifest;
  const surplus = [...rest].filter(([place, entry]) => !expected(place, entry)).map(([place]) => place);
  return [
    ...missing.map((place) => `${place} is missing`),
    ...surplus.map((place) => `${place} is in no manifest`),
  ];
}
