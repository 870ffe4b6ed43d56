import { randomBytes } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Fingerprint, MachineSpec } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { endLeftovers } from "../host/leftovers.ts";
import { isAlive, readProcess } from "../host/process-table.ts";
import { findProgram } from "../host/program.ts";
import { settlesWithin } from "../host/wait.ts";
import { bootQemu } from "./boot.ts";
import type { QemuMachine } from "./machine.ts";
import type { QemuDriverSettings } from "./options.ts";
import { findLack, qemuVersion } from "./requirements.ts";

const limits = { memoryBytes: 268_435_456, vcpus: 1, processes: 64, diskBytes: 8_388_608 };
const lastWordsMs = 1_000;
/** A KVM that works boots a machine in less than a second. */
const trialTimeoutMs = { kvm: 20_000, tcg: 180_000 } as const;

/** Looks whether all is there, and then boots a machine until its agent has answered. */
export async function fingerprintQemu(settings: QemuDriverSettings): Promise<Fingerprint> {
  const lack = await findLack(settings);
  if (lack) return { available: false, ...lack };
  const startedAt = performance.now();
  try {
    await tryOut(settings);
  } catch (error) {
    const reason = error instanceof MachineError ? error.message : String(error);
    return { available: false, reason: `a trial failed. ${reason}`, advice: adviceFor(settings) };
  }
  const path = (await findProgram(settings.program)) ?? settings.program;
  return {
    available: true,
    details: {
      program: `${path} ${await qemuVersion(path)}`,
      accelerator: settings.accelerator === "tcg" ? "tcg, which is emulation and slow" : "kvm",
      image: settings.image,
      trial: `${Math.round(performance.now() - startedAt)} ms`,
    },
  };
}

function adviceFor({ accelerator }: QemuDriverSettings): string {
  const files = "Build its files anew: nex rootfs --format ext4 --kernel apt";
  return accelerator === "tcg"
    ? files
    : `See whether KVM works on this host, or use another sandbox; ${files}`;
}

async function tryOut(settings: QemuDriverSettings): Promise<void> {
  await mkdir(settings.stateDirectory, { recursive: true, mode: 0o700 });
  await endDeadTrials(settings.stateDirectory);
  const trial = newTrial(settings.stateDirectory);
  await mkdir(trial.directory, { mode: 0o700 });
  const attachTimeoutMs = Math.min(settings.attachTimeoutMs, trialTimeoutMs[settings.accelerator]);
  const spec: MachineSpec = { ...trial, limits, network: "none", nodeLostTimeoutMs: attachTimeoutMs };
  let machine: QemuMachine | undefined;
  try {
    machine = await bootQemu({ ...settings, attachTimeoutMs }, spec);
    await attachTo(machine);
  } finally {
    await machine?.destroy();
    await endLeftovers(trial.directory);
  }
}

/** What QEMU or the guest has said at its end tells more than that it hung up. */
async function attachTo(machine: QemuMachine): Promise<void> {
  try {
    await machine.attach(1);
  } catch (cause) {
    if (!(await settlesWithin(machine.exited, lastWordsMs))) throw cause;
    const words = (await machine.exited).console.trim().split(/\r?\n/).join("; ");
    const why = words === "" ? "without a word" : `with: ${words}`;
    throw new MachineError("boot_failed", `The machine has ended before its agent answered, ${why}`, {
      cause,
    });
  }
}

/** Its directory's name says who tries, since a trial has no record. */
function newTrial(stateDirectory: string): Pick<MachineSpec, "id" | "directory"> {
  const mark = randomBytes(8).toString("hex");
  const { pid, startTicks } = readProcess(process.pid) ?? { pid: process.pid, startTicks: 0 };
  return { id: `trial${mark}`, directory: join(stateDirectory, `trial-${mark}-${pid}-${startTicks}`) };
}

/** Ends the trials of nodes that were killed in the middle of one. */
async function endDeadTrials(stateDirectory: string): Promise<void> {
  for (const name of await readdir(stateDirectory)) {
    const [, pid, startTicks] = /^trial-[0-9a-f]{16}-(\d+)-(\d+)$/.exec(name) ?? [];
    if (pid === undefined || isAlive({ pid: Number(pid), startTicks: Number(startTicks) })) continue;
    await endLeftovers(join(stateDirectory, name));
  }
}
