import { readdirSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import type { ContainerDriverOptions } from "@nexengine/machines/internal";
import {
  buildRootfsDirectory,
  ContainerDriver,
  completeContainerOptions as completeOptions,
  findLibraries,
  findUnmetContainerNeed as findUnmetRequirement,
  rootfsPaths,
} from "@nexengine/machines/internal";
import { processesOf } from "./contract/host-processes.ts";
import { guestFiles } from "./guest/guest-files.ts";

/** This module, for programs that make the driver themselves. */
export const driverModule: URL = new URL(import.meta.url);

/** Passes the options to the programs that a test case starts. */
const optionsVariable = "NEX_CONTRACT_CONTAINER";

/** Creates the driver for the contract suite. The test guest runs in the rootfs made by `prepareContainers`. */
export function makeDriver(change: Partial<ContainerDriverOptions> = {}): ContainerDriver {
  const options = JSON.parse(process.env[optionsVariable] ?? "{}") as ContainerDriverOptions;
  return new ContainerDriver({ ...options, ...change });
}

/** Fixtures of container tests, removed at the end of their scope. */
export interface Preparation extends AsyncDisposable {
  options: ContainerDriverOptions;
  /** Why containers can't run on this host; `undefined` if they can. */
  unmetRequirement: string | undefined;
}

/**
 * Builds a rootfs with the test guest, in a directory that every user can reach.
 *
 * @param programs Absolute paths of additional programs, installed with their libraries.
 */
export async function prepareContainers(programs: readonly string[] = []): Promise<Preparation> {
  const base = await mkdtemp(join(tmpdir(), "nex-containers-"));
  await chmod(base, 0o711);
  const contract = fileURLToPath(new URL("./guest/", import.meta.url));
  const rootfs = await buildRootfsDirectory({
    output: join(base, "rootfs"),
    agentPath: join(contract, "agent.mjs"),
    files: { ...(await withLibraries(programs)), ...filesOf(contract) },
  });
  const options: ContainerDriverOptions = {
    rootfs: rootfs.directory,
    command: [rootfsPaths.node, "--disable-warning=ExperimentalWarning", rootfsPaths.agent],
    stateDirectory: join(base, "state"),
    cgroupParent: `nex-test-${process.pid}`,
    hostIdFirst: 1_000_000 + process.pid * 1_000,
  };
  process.env[optionsVariable] = JSON.stringify(options);
  const unmet = await findUnmetRequirement(completeOptions(options));
  if (unmet) console.log(`Containers are not tested: ${unmet.reason}. ${unmet.advice}`);
  return {
    options,
    unmetRequirement: unmet?.reason,
    [Symbol.asyncDispose]: () => rm(base, { recursive: true, force: true }),
  };
}

function filesOf(contract: string): Record<string, string> {
  return Object.fromEntries(guestFiles.map((name) => [`/usr/lib/nex/${name}`, join(contract, name)]));
}

async function withLibraries(programs: readonly string[]): Promise<Record<string, string>> {
  const libraries = (await Promise.all(programs.map(findLibraries))).flat();
  return Object.fromEntries([...programs, ...libraries].map((path) => [normalize(path), path]));
}

/** Lists the processes that have a directory mounted, run in it or name it. */
export function orphansOf(directory: string): string[] {
  const mounted = readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && readMounts(pid).includes(directory))
    .map((pid) => `${pid} has it mounted`);
  return [...processesOf(directory), ...mounted];
}

function readMounts(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, "utf8");
  } catch {
    return "";
  }
}
