/** The one file that names the drivers. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  buildRootfsDirectory,
  ContainerDriver,
  type Driver,
  type Fingerprint,
  findContainerLack,
  MachineError,
  type MachineLimits,
  ProcessDriver,
  rootfsPaths,
  type SandboxKind,
} from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/internal";
import { defaultRootfsDirectory, hostIdsDirectory } from "./state/default-directories.ts";

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
  /** The control group below which a node makes the one of its containers; the root of the host when absent. */
  cgroupParent?: string;
}

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
    ofKind: (kind, stateDirectory) =>
      kind === "container" ? containerDriver(choice.files, stateDirectory, "/") : undefined,
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

/** Tries every kind that there is, the strongest first. */
export async function trySandboxes(files: DriverFiles, stateDirectory: string): Promise<SandboxTrial[]> {
  const trials: SandboxTrial[] = [];
  for (const kind of [...autoKinds, "process"] as const) {
    trials.push(await trySandbox(kind, files, stateDirectory));
  }
  return trials;
}

async function chooseDriver(choice: DriverChoice, stateDirectory: string): Promise<Driver> {
  const { sandbox, files, processAsLast = false, onTrial } = choice;
  const last: readonly SandboxKind[] = processAsLast ? ["process"] : [];
  const kinds = sandbox === "auto" ? [...autoKinds, ...last] : [sandbox];
  const lacks: SandboxTrial[] = [];
  for (const kind of kinds) {
    const { driver, found } = await tryKind(kind, files, stateDirectory);
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
  if (kind === "firecracker" || kind === "qemu") {
    return { found: { available: false, reason: "this version of Nex has no driver for it", advice: "" } };
  }
  const lack = kind === "container" ? await findContainerLack(files) : undefined;
  if (lack !== undefined) return { found: { available: false, ...lack } };
  try {
    const driver =
      kind === "process" ? processDriver(files) : await builtContainerDriver(files, stateDirectory);
    return { driver, found: await driver.fingerprint() };
  } catch (error) {
    if (!(error instanceof MachineError)) throw error;
    return { found: { available: false, reason: error.message, advice: "" } };
  }
}

function processDriver({ nodePath = process.execPath, agentPath }: DriverFiles): Driver {
  return new ProcessDriver({ command: [nodePath, ...agentNodeFlags, agentPath, "--channels=fd"] });
}

/** A rootfs is built only where there can be containers. */
async function builtContainerDriver(files: DriverFiles, stateDirectory: string): Promise<Driver> {
  const { directory } = await buildRootfsDirectory({
    output: files.rootfsDirectory ?? defaultRootfsDirectory(),
    agentPath: files.agentPath,
    ...(files.nodePath === undefined ? {} : { nodePath: files.nodePath }),
  });
  return containerDriver(files, stateDirectory, directory);
}

function containerDriver(files: DriverFiles, stateDirectory: string, rootfs: string): ContainerDriver {
  const name = createHash("sha256").update(stateDirectory).digest("hex").slice(0, 12);
  return new ContainerDriver({
    rootfs,
    command: [rootfsPaths.node, ...agentNodeFlags, rootfsPaths.agent],
    limitArguments: heapArguments,
    stateDirectory: join(stateDirectory, "drivers", "container"),
    cgroupParent: join(files.cgroupParent ?? "", `nex-${name}`),
    idsDirectory: files.idsDirectory ?? hostIdsDirectory,
    ...(files.runtime === undefined ? {} : { runtime: files.runtime }),
  });
}

/** Node does not see the limit of its control group, so it is told how large its heap may grow. */
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
