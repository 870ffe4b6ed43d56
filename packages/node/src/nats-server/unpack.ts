import { basename } from "node:path";
import { gunzipSync } from "node:zlib";
import { FetchFailure } from "./fetch-way.ts";
import { readTarEntry } from "./tar.ts";
import { readZipEntry } from "./zip.ts";

const unpackedBytesMax = 256 * 1024 * 1024;

/**
 * Takes the program out of what was downloaded.
 *
 * @throws FetchFailure when there is none in it.
 */
export function unpackNatsServer(content: Buffer): Buffer {
  const isProgram = (name: string) => basename(name) === "nats-server" && !name.endsWith("/");
  const [program] = unpackFiles(content, unpackedBytesMax, [isProgram]) ?? [content];
  if (program === undefined) throw new FetchFailure('the archive has no file named "nats-server"');
  return program;
}

/**
 * Takes files out of a zip or tar.gz archive: for each of `matches` the first whose name it accepts.
 *
 * @returns `undefined` when it is no archive.
 * @throws FetchFailure when the archive is damaged, or holds too much.
 */
export function unpackFiles(
  content: Buffer,
  bytesMax: number,
  matches: readonly ((name: string) => boolean)[],
): (Buffer | undefined)[] | undefined {
  try {
    if (content.subarray(0, 2).toString("latin1") === "PK")
      return matches.map((match) => readZipEntry(content, match, bytesMax));
    if (content.readUInt16BE(0) !== 0x1f8b) return undefined;
    const archive = gunzipSync(content, { maxOutputLength: bytesMax });
    return matches.map((match) => readTarEntry(archive, match));
  } catch (error) {
    throw new FetchFailure(`the archive can't be read: ${(error as Error).message}`, { cause: error });
  }
}
