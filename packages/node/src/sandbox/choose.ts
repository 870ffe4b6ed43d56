/** Chooses a node's driver by trying the kinds of sandbox on this host. */
import { type Driver, type Fingerprint, MachineError, type SandboxKind } from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/errors";
import { type DriverFiles, sandboxKinds } from "./kinds.ts";

/** Choice of a node's sandbox; `auto` takes the strongest that works. */
export type SandboxChoice = SandboxKind | "auto";

/** Whether one kind of sandbox works here. */
export interface SandboxProbe {
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

/** The kinds that `auto` tries, the strongest first. Emulation and plain processes are taken only when named. */
const autoKinds: readonly SandboxKind[] = ["firecracker", "qemu", "container"];

/** How a node chooses its driver. */
export interface DriverChoice {
  sandbox: SandboxChoice;
  files: DriverFiles;
  /** With `auto`: takes plain processes where nothing else works. Only for people who run their own code. */
  processAsLast?: boolean;
  /** Hears of each kind that was tried. */
  onProbe?: (probe: SandboxProbe) => void;
}

/** Where a node's driver comes from. */
export function driverSource(choice: DriverChoice): DriverSource {
  return {
    choose: (stateDirectory) => chooseDriver(choice, stateDirectory),
    ofKind: (kind, stateDirectory) =>
      isSandboxKind(kind) ? sandboxKinds[kind].makeForCleanup?.(choice.files, stateDirectory) : undefined,
  };
}

function isSandboxKind(kind: string): kind is SandboxKind {
  return Object.hasOwn(sandboxKinds, kind);
}

/** Tries one kind. */
export async function trySandbox(
  kind: SandboxKind,
  files: DriverFiles,
  stateDirectory: string,
): Promise<SandboxProbe> {
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
): Promise<SandboxProbe[]> {
  const probes: SandboxProbe[] = [];
  for (const kind of [...autoKinds, "process"] as const) {
    probes.push(await trySandbox(kind, sandbox === "qemu" ? files : unemulated(files), stateDirectory));
  }
  return probes;
}

async function chooseDriver(choice: DriverChoice, stateDirectory: string): Promise<Driver> {
  const { sandbox, files, processAsLast = false, onProbe } = choice;
  const last: readonly SandboxKind[] = processAsLast ? ["process"] : [];
  const kinds = sandbox === "auto" ? [...autoKinds, ...last] : [sandbox];
  const tried: SandboxProbe[] = [];
  for (const kind of kinds) {
    const { driver, found } = await tryKind(
      kind,
      sandbox === "auto" ? unemulated(files) : files,
      stateDirectory,
    );
    onProbe?.({ kind, found });
    if (driver !== undefined && found.available) return driver;
    tried.push({ kind, found });
  }
  throw unavailable(sandbox, tried);
}

async function tryKind(
  kind: SandboxKind,
  files: DriverFiles,
  stateDirectory: string,
): Promise<{ driver?: Driver; found: Fingerprint }> {
  const unmet = await sandboxKinds[kind].unmetRequirement(files, stateDirectory);
  if (unmet !== undefined) return { found: { available: false, ...unmet } };
  try {
    const driver = await sandboxKinds[kind].make(files, stateDirectory);
    return { driver, found: await driver.fingerprint() };
  } catch (error) {
    if (!(error instanceof MachineError)) throw error;
    return { found: { available: false, reason: error.message, advice: "" } };
  }
}

/** The same, where emulation is not to be taken. */
function unemulated(files: DriverFiles): DriverFiles {
  return files.qemu === undefined ? files : { ...files, qemu: { ...files.qemu, accelerator: "kvm" } };
}

/** Says of every kind that was tried why it does not work. */
function unavailable(sandbox: SandboxChoice, tried: readonly SandboxProbe[]): NexError {
  const lines = tried.flatMap(({ kind, found }) => (found.available ? [] : [{ kind, ...found }]));
  const why = lines.map(({ kind, reason }) => `${kind}: ${reason}`).join("; ");
  const advice = lines.map((line) => line.advice).filter((text) => text !== "");
  return new NexError("sandbox_unavailable", `Cannot make machines (${sandbox}): ${why}`, {
    advice: [...advice, "See what this host has with: nex node preflight --check"].join("; "),
  });
}
