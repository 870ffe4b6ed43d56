import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { download, shownAddress } from "../download.ts";
import { FetchFailure } from "../fetch-failure.ts";
import type { FetchContext, FetchWay } from "./fetch-way.ts";
import { unpackNatsServer } from "./unpack.ts";

const downloadBytesMax = 128 * 1024 * 1024;

/** Downloads a zip archive, a tar.gz archive or the bare binary, and accepts only the content that the hash names. */
export function fetchByUrl(address: string): FetchWay {
  return {
    title: `Fetching nats-server from ${shownAddress(address)}`,
    async fetch({ folder, signal }: FetchContext): Promise<string> {
      const sha256 = /#sha256=([0-9a-f]{64})$/i.exec(address)?.[1];
      if (sha256 === undefined) {
        throw new FetchFailure(
          "the address does not end in #sha256= and 64 hexadecimal digits; add the hash of the file",
        );
      }
      const content = await download({ url: address, sha256, bytesMax: downloadBytesMax, signal });
      const path = join(folder, "nats-server");
      await writeFile(path, await unpackNatsServer(content));
      return path;
    },
  };
}
