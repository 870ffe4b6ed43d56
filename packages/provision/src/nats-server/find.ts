import { readdir } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { NexError } from "@nexengine/protocol/errors";
import { askVersion, compareVersions, isProgram } from "../program.ts";

/** The oldest nats-server that Nex works with. */
export const natsServerVersionMin = "2.9.0";

/** Where a binary has come from. */
export type NatsServerOrigin = "option" | "environment" | "path" | "cache" | "fetched";

/** A nats-server that has been seen to run. */
export interface NatsServerBinary {
  path: string;
  /** `2.15.1` */
  version: string;
  origin: NatsServerOrigin;
}

/** Where to look. */
export interface FindNatsServerOptions {
  /** The one to use; nothing else is looked at then. */
  path?: string | undefined;
  /** Where {@link fetchNatsServer} puts binaries. */
  cacheDirectory: string;
  /** `NEX_NATS_SERVER` counts as a path given, `PATH` is searched. */
  env?: NodeJS.ProcessEnv;
  /** Is told, in a line, of each binary that was passed over and why. */
  report?: (line: string) => void;
}

/**
 * Looks for a nats-server: the path given, `NEX_NATS_SERVER`, `PATH`, the cache directory.
 *
 * @returns the first that runs and is new enough; `undefined` when there is none.
 * @throws NexError when the one given by a path does not run, or is too old.
 */
export async function findNatsServer(options: FindNatsServerOptions): Promise<NatsServerBinary | undefined> {
  const env = options.env ?? process.env;
  const report = options.report ?? (() => {});
  if (options.path) return probeNatsServer(options.path, "option");
  if (env.NEX_NATS_SERVER) return probeNatsServer(env.NEX_NATS_SERVER, "environment");
  const onPath = (env.PATH ?? "")
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, "nats-server"));
  return (
    (await firstUsable(onPath, "path", report)) ??
    (await firstUsable(await cached(options.cacheDirectory), "cache", report))
  );
}

/**
 * Runs a binary once to see that it is a nats-server that Nex can use.
 *
 * @throws NexError `nats_server_missing` or `nats_server_too_old`.
 */
export async function probeNatsServer(path: string, origin: NatsServerOrigin): Promise<NatsServerBinary> {
  const advice = `give the path of a nats-server ${natsServerVersionMin} or later`;
  if (!isProgram(path)) {
    throw new NexError(
      "nats_server_missing",
      `Cannot use nats-server "${path}": there is no program that can be run; ${advice}`,
    );
  }
  const result = await askVersion(path);
  const version = /v(\d+\.\d+\.\d+\S*)/.exec(result.output)?.[1];
  if (!result.ok || version === undefined) {
    const state = result.ok ? "is another program" : result.state;
    throw new NexError(
      "nats_server_missing",
      `Cannot use nats-server "${path}": asked for its version, it ${state}; ${advice}`,
    );
  }
  if (compareVersions(version, natsServerVersionMin) < 0) {
    throw new NexError(
      "nats_server_too_old",
      `Cannot use nats-server "${path}": it is version ${version}, and ${natsServerVersionMin} or later is needed; ` +
        "upgrade it or give the path of a newer one",
    );
  }
  return { path, version, origin };
}

async function firstUsable(
  paths: string[],
  origin: NatsServerOrigin,
  report: (line: string) => void,
): Promise<NatsServerBinary | undefined> {
  for (const path of paths) {
    if (!isProgram(path)) continue;
    try {
      return await probeNatsServer(path, origin);
    } catch (error) {
      if (!(error instanceof NexError)) throw error;
      report(error.message.replace(/^Cannot use/, "Passed over"));
    }
  }
  return undefined;
}

/** The newest first. */
async function cached(directory: string): Promise<string[]> {
  const prefix = "nats-server-";
  const names = await readdir(directory).catch(() => []);
  const versions = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  return versions
    .sort(compareVersions)
    .reverse()
    .map((version) => join(directory, prefix + version, "nats-server"));
}
