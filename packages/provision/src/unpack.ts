/** Reads files from the archives that programs are released in. */
import { gunzipSync } from "node:zlib";
import { unzipSync } from "fflate";
import { unpackTar } from "modern-tar";
import { FetchFailure } from "./fetch-failure.ts";

/** Accepts the name of a file in an archive. */
export type NameMatch = (name: string) => boolean;

/**
 * Takes files out of a zip or tar.gz archive: the first file that each of `matches` accepts. The caller has verified
 * the digest of the archive, so no checksums in it are checked.
 *
 * @param bytesMax Maximum size of the unpacked tar archive, or of each file in a zip archive.
 * @returns `undefined` if the content is no archive.
 * @throws FetchFailure if the archive is damaged or too large.
 */
export async function unpackFiles(
  content: Buffer,
  bytesMax: number,
  matches: readonly NameMatch[],
): Promise<(Buffer | undefined)[] | undefined> {
  const wanted = new WantedFiles(matches);
  try {
    if (content.subarray(0, 2).toString("latin1") === "PK")
      return wanted.of(unzip(content, bytesMax, wanted));
    if (content.readUInt16BE(0) !== 0x1f8b) return undefined;
    const archive = gunzipSync(content, { maxOutputLength: bytesMax });
    return wanted.of(await untar(archive, wanted));
  } catch (error) {
    throw new FetchFailure(`the archive can't be read: ${(error as Error).message}`, { cause: error });
  }
}

/** Remembers which file of the archive each match has accepted. */
class WantedFiles {
  readonly #matches: readonly NameMatch[];
  readonly #names: (string | undefined)[];

  constructor(matches: readonly NameMatch[]) {
    this.#matches = matches;
    this.#names = matches.map(() => undefined);
  }

  /** Reports whether a match without a file accepts this one. */
  accepts(name: string): boolean {
    let accepted = false;
    for (const [index, match] of this.#matches.entries()) {
      if (this.#names[index] !== undefined || !match(name)) continue;
      this.#names[index] = name;
      accepted = true;
    }
    return accepted;
  }

  of(files: ReadonlyMap<string, Uint8Array>): (Buffer | undefined)[] {
    return this.#names.map((name) => {
      const data = name === undefined ? undefined : files.get(name);
      return data && Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    });
  }
}

/** A file never gets larger than the size that the archive states for it. */
function unzip(archive: Buffer, bytesMax: number, wanted: WantedFiles): Map<string, Uint8Array> {
  const files = unzipSync(archive, {
    filter: ({ name, originalSize }) => {
      if (!wanted.accepts(name)) return false;
      if (originalSize > bytesMax) throw new RangeError(`it holds more than ${bytesMax} bytes`);
      return true;
    },
  });
  return new Map(Object.entries(files));
}

async function untar(archive: Buffer, wanted: WantedFiles): Promise<Map<string, Uint8Array>> {
  const entries = await unpackTar(archive, {
    strict: true,
    filter: ({ name, type = "file" }) => type === "file" && wanted.accepts(name),
  });
  return new Map(entries.flatMap(({ header, data }) => (data ? [[header.name, data] as const] : [])));
}
