import { basename } from "node:path";
import { FetchFailure } from "../fetch-failure.ts";
import { unpackFiles } from "../unpack.ts";

const unpackedBytesMax = 256 * 1024 * 1024;

/**
 * Takes the program out of an archive. Content that is no archive is the program itself.
 *
 * @throws FetchFailure if the archive does not contain the program.
 */
export async function unpackNatsServer(content: Buffer): Promise<Buffer> {
  const isServer = (name: string): boolean => basename(name) === "nats-server" && !name.endsWith("/");
  const [program] = (await unpackFiles(content, unpackedBytesMax, [isServer])) ?? [content];
  if (program === undefined) throw new FetchFailure('the archive has no file named "nats-server"');
  return program;
}
