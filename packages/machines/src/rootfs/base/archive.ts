/** Adds a tar archive, or a layer of an image, to a base. */
import { createReadStream } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { createTarDecoder, type ParsedTarEntry } from "modern-tar";
import { MachineError } from "../../errors.ts";
import type { FileTree } from "../file-tree.ts";
import { anyExecute, type Base, demandBytes, othersEnter, othersRead } from "./base.ts";

const archiveEntriesMax = 262_144;
const gzipMagic = "1f8b";
const zstdMagic = "28b52ffd";
/** Whiteout prefix: removes one entry of a lower layer. */
const whiteout = ".wh.";
/** Opaque whiteout: removes all entries of lower layers in its directory. */
const opaqueWhiteout = ".wh..wh..opq";
/** Prefix of metadata for the tool that built the layer. */
const toolWhiteout = ".wh..wh.";

/**
 * Adds a tar archive to a base. Files are unpacked under numbers, so that no name or link in the archive decides
 * where data is written. Hard links become files with equal content. Owners, timestamps and special permissions are
 * dropped.
 *
 * @param directory Directory of the unpacked files.
 * @param layer Above 0, the archive is an image layer whose whiteouts are applied.
 * @throws MachineError `rootfs_failed`
 */
export async function addArchive(
  base: Base,
  archive: string,
  directory: string,
  layer: number,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  let entries = 0;
  try {
    for await (const entry of entriesOf(base, archive)) {
      entries += 1;
      if (entries > archiveEntriesMax) throw new RangeError(`it has over ${archiveEntriesMax} entries`);
      await addEntry(base, entry, join(directory, String(entries)), layer);
    }
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MachineError("rootfs_failed", `Cannot read the archive "${archive}" of the base: ${why}`, {
      cause,
    });
  }
}

/** Entries are sequential: the next one is available after the current one has been read. */
function entriesOf(base: Base, archive: string): AsyncIterable<ParsedTarEntry> {
  // Both are Node streams; the types declare them twice.
  const chunks = ReadableStream.from(chunksOf(base, archive));
  return chunks.pipeThrough(createTarDecoder({ strict: true }) as ReadableWritablePair<ParsedTarEntry>);
}

async function* chunksOf(base: Base, archive: string): AsyncGenerator<Uint8Array> {
  const file = createReadStream(archive);
  const unpacked = unpackedStream(file, await magicOf(archive));
  // `pipe` does not forward errors.
  file.once("error", (error) => unpacked.destroy(error));
  try {
    for await (const chunk of unpacked as AsyncIterable<Buffer>) {
      base.bytes += chunk.length;
      demandBytes(base.bytes, archive);
      yield chunk;
    }
  } finally {
    file.destroy();
  }
}

function unpackedStream(file: Readable, magic: string): Readable {
  if (magic.startsWith(gzipMagic)) return file.pipe(createGunzip());
  return magic === zstdMagic ? file.pipe(createZstdDecompress()) : file;
}

async function magicOf(path: string): Promise<string> {
  await using file = await open(path, "r");
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return buffer.toString("hex", 0, bytesRead);
}

async function addEntry(
  { tree, special }: Base,
  { header, body }: ParsedTarEntry,
  file: string,
  layer: number,
): Promise<void> {
  const { name, type = "file", linkname = "", mode = 0o644, pax = {} } = header;
  if (Object.keys(pax).some((key) => key.startsWith("GNU.sparse."))) {
    throw new RangeError(
      `"${name}" is kept with holes, which is not supported; make the archive without --sparse`,
    );
  }
  if (layer > 0 && basename(name).startsWith(whiteout)) {
    await body.cancel();
    removeLower(tree, name, layer);
  } else if (type === "file") {
    await writeFile(file, body as unknown as AsyncIterable<Uint8Array>, { flag: "wx", mode: 0o600 });
    const executable = (mode & anyExecute) !== 0;
    const isPrivate = (mode & othersRead) === 0;
    tree.put(name, { kind: "file", source: { path: file }, executable, isPrivate }, layer);
  } else if (type === "directory") {
    tree.put(name, { kind: "directory", isPrivate: (mode & othersEnter) !== othersEnter }, layer);
  } else if (type === "symlink") {
    tree.put(name, { kind: "link", target: linkname }, layer);
  } else if (type === "link") {
    const linked = tree.find(linkname);
    if (linked === undefined || linked.kind === "directory") {
      throw new RangeError(`"${name}" is a link to "${linkname}", which is not in it`);
    }
    tree.put(name, linked, layer);
  } else special.push(join("/", ...tree.namesOf(name)));
}

function removeLower(tree: FileTree, name: string, layer: number): void {
  const directory = dirname(name);
  if (basename(name) === opaqueWhiteout) tree.emptyLower(directory, layer);
  else if (!basename(name).startsWith(toolWhiteout)) {
    tree.removeLower(join(directory, basename(name).slice(whiteout.length)), layer);
  }
}
