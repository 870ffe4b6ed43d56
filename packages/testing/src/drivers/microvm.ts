import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type BootFiles,
  bootFilesIn,
  buildRootfsDirectory,
  packExt4,
  type Rootfs,
  rootfsPaths,
} from "@nexengine/machines/internal";
import type { DriverAbilities } from "./contract/abilities.ts";
import { guestFiles } from "./guest/guest-files.ts";

/** Variable with the directory of the prepared boot files. */
const bootDirectoryVariable = "NEX_TEST_BOOT_DIRECTORY";

/** Image and boot files for microVMs in the contract suite. */
export interface ContractImage {
  image: string;
  boot: BootFiles;
  command: readonly [program: string, ...args: string[]];
}

/** Returns the paths of the image in a directory. */
export function contractImageIn(directory: string): ContractImage {
  return {
    image: join(directory, "guest.ext4"),
    boot: bootFilesIn(process.env[bootDirectoryVariable] ?? directory),
    command: [rootfsPaths.node, "--disable-warning=ExperimentalWarning", rootfsPaths.agent],
  };
}

/** Packs an image with the test guest. */
export async function packContractImage(directory: string): Promise<void> {
  await packExt4(await buildContractTree(directory), contractImageIn(directory).image);
}

/** Builds a tree with the test guest, on a base or from scratch. */
export async function buildContractTree(directory: string, base?: string): Promise<Rootfs> {
  const contract = fileURLToPath(new URL("./guest/", import.meta.url));
  return await buildRootfsDirectory({
    output: join(directory, "rootfs"),
    agentPath: join(contract, "agent.mjs"),
    files: Object.fromEntries(guestFiles.map((name) => [`/usr/lib/nex/${name}`, join(contract, name)])),
    ...(base !== undefined && { base }),
  });
}

/** Abilities of microVM drivers for the contract suite. */
export function microVmAbilities(
  own: Required<Pick<DriverAbilities, "driverModule" | "orphans">>,
): DriverAbilities {
  return {
    bootTimeoutMs: 180_000,
    reattach: true,
    recover: true,
    copies: true,
    enforces: ["memoryBytes", "vcpus", "processes", "diskBytes"],
    exitStatus: true,
    realGuest: true,
    endsWithNode: "none",
    ...own,
  };
}
