/** The kinds of sandbox: one table, and the only file that names drivers. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  bootFilesIn,
  buildRootfsDirectory,
  ContainerDriver,
  type Driver,
  FirecrackerDriver,
  type FirecrackerDriverOptions,
  findUnmetContainerRequirement,
  findUnmetFirecrackerRequirement,
  findUnmetQemuRequirement,
  imageName,
  type MachineLimits,
  ProcessDriver,
  packExt4,
  QemuDriver,
  type QemuDriverOptions,
  type Rootfs,
  rootfsPaths,
  type SandboxKind,
  type UnmetRequirement,
} from "@nexengine/machines";
import { findFirecracker } from "@nexengine/provision";
import { defaultRootfsDirectory, hostIdsDirectory } from "../state/default-directories.ts";

/** Files and programs that the kinds of machine are made from. */
export interface DriverFiles {
  /** The agent's bundle. */
  agentPath: string;
  /** The Node that runs it; this process's own when absent. */
  nodePath?: string;
  /** Where rootfs trees are kept, which every user of the host must be able to reach. */
  rootfsDirectory?: string;
  /** The OCI runtime of containers; `runc` when absent. */
  runtime?: string;
  /** Where the nodes of this host note which user ids their machines have. */
  idsDirectory?: string;
  /** QEMU and what its machines boot; the kernel and initramfs beside the rootfs trees when absent. */
  qemu?: QemuFiles;
  /** Firecracker and what its machines boot, likewise. */
  firecracker?: FirecrackerFiles;
  /** The control group below which a node makes the one of its machines; the root of the host when absent. */
  cgroupParent?: string;
}

/** Files that both kinds of microVM boot. */
interface MicroVmFiles {
  program?: string;
  /** An image of their root; built by the node when absent. */
  image?: string;
  kernel?: string;
  initramfs?: string;
}

/** Files and programs that machines of QEMU are made from. */
export interface QemuFiles extends MicroVmFiles {
  accelerator?: "kvm" | "tcg";
}

/** Files and programs that machines of Firecracker are made from. */
export interface FirecrackerFiles
  extends MicroVmFiles,
    Pick<FirecrackerDriverOptions, "jailer" | "rateLimiters"> {}

/** Options of the agent's Node, in every sandbox. */
const agentNodeFlags = ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"];
/** The part of a machine's memory that JavaScript objects may take; buffers and Node itself need the rest. */
const heapShare = 0.75;
const bytesPerMebibyte = 1_048_576;

/** One kind of sandbox. */
export interface SandboxEntry {
  /** How well it keeps workloads apart, from 0; kinds of the same number are equally strong. */
  strength: number;
  /** The first requirement that this host does not meet, before anything is built. */
  unmetRequirement(files: DriverFiles, stateDirectory: string): Promise<UnmetRequirement | undefined>;
  /** Makes the driver; builds the rootfs or the image that its machines need. */
  make(files: DriverFiles, stateDirectory: string): Promise<Driver>;
  /** Makes a driver that boots nothing: it ends machines that an earlier node has left. Absent where none can be left. */
  makeForCleanup?(files: DriverFiles, stateDirectory: string): Driver;
}

/** All kinds of sandbox, by name. */
export const sandboxKinds: Readonly<Record<SandboxKind, SandboxEntry>> = {
  process: {
    strength: 0,
    unmetRequirement: async () => undefined,
    make: async ({ nodePath = process.execPath, agentPath }) =>
      new ProcessDriver({ command: [nodePath, ...agentNodeFlags, agentPath, "--channels=fd"] }),
  },
  container: {
    strength: 1,
    unmetRequirement: (files) => findUnmetContainerRequirement(files),
    make: async (files, stateDirectory) =>
      containerDriver(files, stateDirectory, (await builtRootfs(files)).directory),
    makeForCleanup: (files, stateDirectory) => containerDriver(files, stateDirectory, "/"),
  },
  qemu: {
    strength: 2,
    unmetRequirement: (files, stateDirectory) => findUnmetQemuRequirement(qemuOptions(files, stateDirectory)),
    make: async (files, stateDirectory) => {
      const image = files.qemu?.image ?? (await builtImage(files));
      return new QemuDriver({ ...qemuOptions(files, stateDirectory), image });
    },
    makeForCleanup: (files, stateDirectory) => new QemuDriver(qemuOptions(files, stateDirectory)),
  },
  firecracker: {
    strength: 2,
    unmetRequirement: (files, stateDirectory) =>
      findUnmetFirecrackerRequirement(firecrackerOptions(files, stateDirectory)),
    make: async (files, stateDirectory) => {
      const image = files.firecracker?.image ?? (await builtImage(files));
      return new FirecrackerDriver({ ...firecrackerOptions(files, stateDirectory), image });
    },
    makeForCleanup: (files, stateDirectory) =>
      new FirecrackerDriver(firecrackerOptions(files, stateDirectory)),
  },
};

/** The image of a microVM's root, packed out of the rootfs once for each content of it. */
async function builtImage(files: DriverFiles): Promise<string> {
  const rootfs = await builtRootfs(files);
  const image = join(dirname(rootfs.directory), imageName(rootfs.manifest.digest));
  if (!existsSync(image)) await packExt4(rootfs, image);
  return image;
}

/** A rootfs is built only where there can be machines that need one. */
function builtRootfs(files: DriverFiles): Promise<Rootfs> {
  return buildRootfsDirectory({
    output: rootfsDirectoryOf(files),
    agentPath: files.agentPath,
    ...(files.nodePath === undefined ? {} : { nodePath: files.nodePath }),
  });
}

function rootfsDirectoryOf({ rootfsDirectory }: DriverFiles): string {
  return rootfsDirectory ?? defaultRootfsDirectory();
}

/** Options of both kinds of microVM, without an image, which only booting needs. */
function microVmOptions(
  kind: "qemu" | "firecracker",
  { kernel, initramfs, program }: MicroVmFiles,
  files: DriverFiles,
  stateDirectory: string,
): QemuDriverOptions {
  const found = bootFilesIn(rootfsDirectoryOf(files));
  return {
    image: "",
    boot: { kernel: kernel ?? found.kernel, initramfs: initramfs ?? found.initramfs },
    command: [rootfsPaths.node, ...agentNodeFlags, rootfsPaths.agent],
    limitArguments: heapArguments,
    stateDirectory: join(stateDirectory, "drivers", kind),
    ...(program === undefined ? {} : { program }),
  };
}

/** Options of a node's QEMU driver, but for the image. */
export function qemuOptions(files: DriverFiles, stateDirectory: string): QemuDriverOptions {
  const { accelerator, ...common } = files.qemu ?? {};
  return {
    ...microVmOptions("qemu", common, files, stateDirectory),
    ...(accelerator === undefined ? {} : { accelerator }),
  };
}

/** Options of a node's Firecracker driver, but for the image. */
export function firecrackerOptions(files: DriverFiles, stateDirectory: string): FirecrackerDriverOptions {
  const { rateLimiters, ...told } = files.firecracker ?? {};
  const { jailer, ...common } = { ...findFirecracker(), ...told };
  return {
    ...microVmOptions("firecracker", common, files, stateDirectory),
    idsDirectory: files.idsDirectory ?? hostIdsDirectory,
    cgroupParent: cgroupParentOf(files, stateDirectory),
    jailer,
    ...(rateLimiters === undefined ? {} : { rateLimiters }),
  };
}

/** One group for each node. */
function cgroupParentOf({ cgroupParent = "" }: DriverFiles, stateDirectory: string): string {
  const name = createHash("sha256").update(stateDirectory).digest("hex").slice(0, 12);
  return join(cgroupParent, `nex-${name}`);
}

function containerDriver(files: DriverFiles, stateDirectory: string, rootfs: string): ContainerDriver {
  return new ContainerDriver({
    rootfs,
    command: [rootfsPaths.node, ...agentNodeFlags, rootfsPaths.agent],
    limitArguments: heapArguments,
    stateDirectory: join(stateDirectory, "drivers", "container"),
    cgroupParent: cgroupParentOf(files, stateDirectory),
    idsDirectory: files.idsDirectory ?? hostIdsDirectory,
    ...(files.runtime === undefined ? {} : { runtime: files.runtime }),
  });
}

/** Node does not see the limit of a control group, and leaves little of a microVM to itself, so it is told how large its heap may grow. */
function heapArguments({ memoryBytes }: MachineLimits): readonly string[] {
  if (memoryBytes === undefined) return [];
  return [`--max-old-space-size=${Math.floor((memoryBytes * heapShare) / bytesPerMebibyte)}`];
}
