/** The one file that names the drivers. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  bootFilesIn,
  buildRootfsDirectory,
  ContainerDriver,
  type Driver,
  type Fingerprint,
  FirecrackerDriver,
  type FirecrackerDriverOptions,
  findContainerLack,
  findFirecrackerLack,
  findQemuLack,
  imageName,
  type Lack,
  MachineError,
  type MachineLimits,
  ProcessDriver,
  packExt4,
  QemuDriver,
  type QemuDriverOptions,
  type Rootfs,
  rootfsPaths,
  type SandboxKind,
} from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/internal";
import { findFirecracker } from "../programs/installed.ts";
import { defaultRootfsDirectory, hostIdsDirectory } from "../state/default-directories.ts";

/** What the kinds of machine are made from. */
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

/** What both kinds of microVM boot. */
interface MicroVmFiles {
  program?: string;
  /** An image of their root; built by the node when absent. */
  image?: string;
  kernel?: string;
  initramfs?: string;
}

/** What machines of QEMU are made from. */
export interface QemuFiles extends MicroVmFiles {
  accelerator?: "kvm" | "tcg";
}

/** What machines of Firecracker are made from. */
export interface FirecrackerFiles
  extends MicroVmFiles,
    Pick<FirecrackerDriverOptions, "jailer" | "rateLimiters"> {}

/** What a node may be told to keep its workloads in; `auto` takes the strongest that works. */
export type SandboxChoice = SandboxKind | "auto";

/** Whether one kind of sandbox works here. */
export interface SandboxTrial {
  kind: SandboxKind;
  found: Fingerprint;
}

/** Where a node gets its driver from, once it has its state directory. */
export interface DriverSource {
  /** @throws NexError `sandbox_unavailable` */
  choose(stateDirectory: string): Promise<Driver>;
  /** A driver that ends what one of this kind has left. */
  ofKind(kind: string, stateDirectory: string): Driver | undefined;
}

/** What the agent's Node is started with, in every sandbox. */
const agentNodeFlags = ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"];
/** The part of a machine's memory that JavaScript objects may take; buffers and Node itself need the rest. */
const heapShare = 0.75;
const bytesPerMebibyte = 1_048_576;

/** The kinds that `auto` tries, the strongest first. Emulation and plain processes are taken only when named. */
const autoKinds: readonly SandboxKind[] = ["firecracker", "qemu", "container"];

/** How a node chooses its driver. */
export interface DriverChoice {
  sandbox: SandboxChoice;
  files: DriverFiles;
  /** With `auto`: takes plain processes where nothing else works. Only for people who run their own code. */
  processAsLast?: boolean;
  /** Hears of each kind that was tried. */
  onTrial?: (trial: SandboxTrial) => void;
}

/** Where a node's driver comes from. */
export function driverSource(choice: DriverChoice): DriverSource {
  return {
    choose: (stateDirectory) => chooseDriver(choice, stateDirectory),
    ofKind: (kind, stateDirectory) => {
      const { files } = choice;
      if (kind === "container") return containerDriver(files, stateDirectory, "/");
      if (kind === "firecracker") return new FirecrackerDriver(firecrackerOptions(files, stateDirectory));
      return kind === "qemu" ? new QemuDriver(qemuOptions(files, stateDirectory)) : undefined;
    },
  };
}

/** Tries one kind. */
export async function trySandbox(
  kind: SandboxKind,
  files: DriverFiles,
  stateDirectory: string,
): Promise<SandboxTrial> {
  return { kind, found: (await tryKind(kind, files, stateDirectory)).found };
}

/**
 * Tries every kind that there is, the strongest first.
 *
 * @param sandbox What the node will be told: emulation is tried only where it is asked for.
 */
export async function trySandboxes(
  files: DriverFiles,
  stateDirectory: string,
  sandbox: SandboxChoice,
): Promise<SandboxTrial[]> {
  const trials: SandboxTrial[] = [];
  for (const kind of [...autoKinds, "process"] as const) {
    trials.push(await trySandbox(kind, sandbox === "qemu" ? files : unemulated(files), stateDirectory));
  }
  return trials;
}

async function chooseDriver(choice: DriverChoice, stateDirectory: string): Promise<Driver> {
  const { sandbox, files, processAsLast = false, onTrial } = choice;
  const last: readonly SandboxKind[] = processAsLast ? ["process"] : [];
  const kinds = sandbox === "auto" ? [...autoKinds, ...last] : [sandbox];
  const lacks: SandboxTrial[] = [];
  for (const kind of kinds) {
    const { driver, found } = await tryKind(
      kind,
      sandbox === "auto" ? unemulated(files) : files,
      stateDirectory,
    );
    onTrial?.({ kind, found });
    if (driver !== undefined && found.available) return driver;
    lacks.push({ kind, found });
  }
  throw unavailable(sandbox, lacks);
}

async function tryKind(
  kind: SandboxKind,
  files: DriverFiles,
  stateDirectory: string,
): Promise<{ driver?: Driver; found: Fingerprint }> {
  const lack = await lackOf(kind, files, stateDirectory);
  if (lack !== undefined) return { found: { available: false, ...lack } };
  try {
    const driver = await makeDriver(kind, files, stateDirectory);
    return { driver, found: await driver.fingerprint() };
  } catch (error) {
    if (!(error instanceof MachineError)) throw error;
    return { found: { available: false, reason: error.message, advice: "" } };
  }
}

/** What of the host is missing, before anything is built. */
async function lackOf(
  kind: SandboxKind,
  files: DriverFiles,
  stateDirectory: string,
): Promise<Lack | undefined> {
  if (kind === "container") return await findContainerLack(files);
  if (kind === "firecracker") return await findFirecrackerLack(firecrackerOptions(files, stateDirectory));
  return kind === "qemu" ? await findQemuLack(qemuOptions(files, stateDirectory)) : undefined;
}

async function makeDriver(kind: SandboxKind, files: DriverFiles, stateDirectory: string): Promise<Driver> {
  if (kind === "process") return processDriver(files);
  const given = kind === "container" ? undefined : files[kind]?.image;
  if (kind !== "container" && given !== undefined) return microVmDriver(kind, files, stateDirectory, given);
  const rootfs = await builtRootfs(files);
  if (kind === "container") return containerDriver(files, stateDirectory, rootfs.directory);
  const image = join(dirname(rootfs.directory), imageName(rootfs.manifest.digest));
  if (!existsSync(image)) await packExt4(rootfs, image);
  return microVmDriver(kind, files, stateDirectory, image);
}

function microVmDriver(
  kind: "qemu" | "firecracker",
  files: DriverFiles,
  stateDirectory: string,
  image: string,
): Driver {
  return kind === "qemu"
    ? new QemuDriver({ ...qemuOptions(files, stateDirectory), image })
    : new FirecrackerDriver({ ...firecrackerOptions(files, stateDirectory), image });
}

/** The same, where emulation is not to be taken. */
function unemulated(files: DriverFiles): DriverFiles {
  return files.qemu === undefined ? files : { ...files, qemu: { ...files.qemu, accelerator: "kvm" } };
}

function processDriver({ nodePath = process.execPath, agentPath }: DriverFiles): Driver {
  return new ProcessDriver({ command: [nodePath, ...agentNodeFlags, agentPath, "--channels=fd"] });
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

/** What both kinds of microVM are told, without an image, which only booting needs. */
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

/** What a node tells its QEMU driver, but for the image. */
export function qemuOptions(files: DriverFiles, stateDirectory: string): QemuDriverOptions {
  const { accelerator, ...common } = files.qemu ?? {};
  return {
    ...microVmOptions("qemu", common, files, stateDirectory),
    ...(accelerator === undefined ? {} : { accelerator }),
  };
}

/** What a node tells its Firecracker driver, but for the image. */
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

/** Says of every kind that was tried why it does not work. */
function unavailable(sandbox: SandboxChoice, lacks: readonly SandboxTrial[]): NexError {
  const lines = lacks.flatMap(({ kind, found }) => (found.available ? [] : [{ kind, ...found }]));
  const why = lines.map(({ kind, reason }) => `${kind}: ${reason}`).join("; ");
  const advice = lines.map((line) => line.advice).filter((text) => text !== "");
  return new NexError("sandbox_unavailable", `Cannot make machines (${sandbox}): ${why}`, {
    advice: [...advice, "See what this host has with: nex node preflight --check"].join("; "),
  });
}
