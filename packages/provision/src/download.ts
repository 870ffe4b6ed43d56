import { createHash } from "node:crypto";
import { FetchFailure } from "./fetch-failure.ts";

const downloadTimeoutMs = 300_000;
const redirectsMax = 5;

/** A file to download, and the one content that is accepted. */
export interface Download {
  url: string;
  /** 64 hexadecimal digits. */
  sha256: string;
  bytesMax: number;
  signal?: AbortSignal | undefined;
}

/** Is it a SHA-256, as 64 hexadecimal digits? */
export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/i.test(text);
}

/** An address as it may be shown: without what stands before the host, and without a hash. */
export function shownAddress(address: string): string {
  return address.replace(/#.*/, "").replace(/\/\/[^/]*@/, "//");
}

/**
 * Downloads a file as a whole. Redirects are followed within `https`, and within one host without it.
 *
 * @throws FetchFailure when the content has another hash, is too large, or does not come.
 */
export async function download({ url, sha256, bytesMax, signal }: Download): Promise<Buffer> {
  const timeout = AbortSignal.timeout(downloadTimeoutMs);
  const content = await contentOf(url, bytesMax, signal ? AbortSignal.any([signal, timeout]) : timeout);
  demandSha256("the content", content, sha256);
  return content;
}

/** @throws FetchFailure if the content has another SHA-256. */
export function demandSha256(name: string, content: Uint8Array, sha256: string): void {
  const actual = createHash("sha256").update(content).digest("hex");
  if (actual !== sha256.toLowerCase())
    throw new FetchFailure(`${name} has the SHA-256 ${actual}, not ${sha256}`);
}

async function contentOf(url: string, bytesMax: number, signal: AbortSignal): Promise<Buffer> {
  try {
    const response = await followed(url, signal);
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new FetchFailure(`the answer was ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) throw new FetchFailure(`it is larger than ${bytesMax} bytes`);
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

async function followed(address: string, signal: AbortSignal): Promise<Response> {
  let url = new URL(address);
  for (let redirects = 0; redirects <= redirectsMax; redirects++) {
    const response = await fetch(url, { redirect: "manual", signal });
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || location === null) return response;
    await response.body?.cancel();
    const next = new URL(location, url);
    const isSafe = next.protocol === "https:" || (url.protocol === "http:" && next.origin === url.origin);
    if (!isSafe) {
      throw new FetchFailure(
        `it leads on to ${next.origin}, which is not followed: it is no longer safe there`,
      );
    }
    url = next;
  }
  throw new FetchFailure(`it leads on more than ${redirectsMax} times`);
}
