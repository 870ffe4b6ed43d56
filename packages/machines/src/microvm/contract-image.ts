import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { guestFiles } from "../contract/guest-files.ts";
import { type BootFiles, bootFilesIn } from "../rootfs/boot-manifest.ts";
import { buildRootfsDirectory } from "../rootfs/build.ts";
import { packExt4 } from "../rootfs/ext4.ts";
import { type Rootfs, rootfsPaths } from "../rootfs/options.ts";

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
  const contract = fileURLToPath(new URL("../contract/", import.meta.url));
  return await buildRootfsDirectory({
    output: join(directory, "rootfs"),
    agentPath: join(contract, "agent.mjs"),
    files: Object.fromEntries(guestFiles.map((name) => [`/usr/lib/nex/${name}`, join(contract, name)])),
    ...(base !== undefined && { base }),
  });
}
