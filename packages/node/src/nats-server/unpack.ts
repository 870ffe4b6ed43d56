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
  let program: Buffer | undefined = content;
  try {
    if (content.subarray(0, 2).toString("latin1") === "PK")
      program = readZipEntry(content, isProgram, unpackedBytesMax);
    else if (content.readUInt16BE(0) === 0x1f8b) {
      program = readTarEntry(gunzipSync(content, { maxOutputLength: unpackedBytesMax }), isProgram);
    }
  } catch (error) {
    throw new FetchFailure(`the archive can't be read: ${(error as Error).message}`, { cause: error });
  }
  if (program === undefined) throw new FetchFailure('the archive has no file named "nats-server"');
  return program;
}
