import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type FetchContext, FetchFailure, type FetchWay } from "./fetch-way.ts";
import { unpackNatsServer } from "./unpack.ts";

const downloadTimeoutMs = 300_000;
const downloadBytesMax = 128 * 1024 * 1024;

/** Downloads a zip archive, a tar.gz archive or the bare binary, and accepts only the content that the hash names. */
export function fetchByUrl(address: string): FetchWay {
  const shown = address.replace(/#.*/, "").replace(/\/\/[^/]*@/, "//");
  return {
    title: `Fetching nats-server from ${shown}`,
    async fetch({ folder, signal }: FetchContext): Promise<string> {
      const sha256 = /#sha256=([0-9a-f]{64})$/i.exec(address)?.[1]?.toLowerCase();
      if (sha256 === undefined) {
        throw new FetchFailure(
          "the address does not end in #sha256= and 64 hexadecimal digits; add the hash of the file",
        );
      }
      const content = await download(address, signal);
      const actual = createHash("sha256").update(content).digest("hex");
      if (actual !== sha256) throw new FetchFailure(`the content has the SHA-256 ${actual}, not ${sha256}`);
      const path = join(folder, "nats-server");
      await writeFile(path, unpackNatsServer(content));
      return path;
    },
  };
}

async function download(address: string, signal: AbortSignal | undefined): Promise<Buffer> {
  const timeout = AbortSignal.timeout(downloadTimeoutMs);
  try {
    const response = await fetch(address, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
    if (!response.ok || response.body === null) throw new FetchFailure(`the answer was ${response.status}`);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += chunk.byteLength;
      if (bytes > downloadBytesMax) throw new FetchFailure(`it is larger than ${downloadBytesMax} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (error instanceof FetchFailure) throw error;
    const cause =
      (error as Error).cause instanceof Error ? ((error as Error).cause as Error) : (error as Error);
    throw new FetchFailure(`the download failed: ${cause.message}`, { cause: error });
  }
}
