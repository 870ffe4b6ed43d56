/** Firecracker where `nex preflight --install` has put it. */
import { readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { defaultCacheDirectory } from "./cache.ts";
import { compareVersions, isProgram } from "./program.ts";

/** The names of the programs, as they are called on the `PATH`. */
export const firecrackerNames = ["firecracker", "jailer"] as const;

/** Both programs, as names on the `PATH` or as paths. */
export interface FirecrackerPrograms {
  program: string;
  jailer: string;
  /** Whether they are on the `PATH`, were installed, or are not here at all. */
  origin: "path" | "installed" | "missing";
}

const folderPrefix = "firecracker-";

/** Where the programs of a version are. */
export function firecrackerFolder(version: string, cacheDirectory: string): string {
  return join(cacheDirectory, `${folderPrefix}${version}`);
}

/**
 * Which Firecracker and jailer a node starts that was told nothing: those on the `PATH`; where one is missing there, the
 * newest pair that was installed; and by their names where there is none either.
 */
export function findFirecracker(
  cacheDirectory: string = defaultCacheDirectory(),
  env: NodeJS.ProcessEnv = process.env,
): FirecrackerPrograms {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder.startsWith("/"));
  const onPath = firecrackerNames.every((name) => folders.some((folder) => isProgram(join(folder, name))));
  const folder = onPath ? undefined : installedFolder(cacheDirectory);
  if (folder === undefined)
    return { program: "firecracker", jailer: "jailer", origin: onPath ? "path" : "missing" };
  return { program: join(folder, "firecracker"), jailer: join(folder, "jailer"), origin: "installed" };
}

/** The newest that is whole. */
function installedFolder(cacheDirectory: string): string | undefined {
  const versions = namesIn(cacheDirectory)
    .filter((name) => name.startsWith(folderPrefix))
    .map((name) => name.slice(folderPrefix.length))
    .filter((version) => /^\d+\.\d+\.\d+$/.test(version))
    .sort(compareVersions)
    .reverse();
  return versions
    .map((version) => firecrackerFolder(version, cacheDirectory))
    .find((folder) => firecrackerNames.every((name) => isProgram(join(folder, name))));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
