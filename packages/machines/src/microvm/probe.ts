/** Boots a microVM once, to see whether its agent answers. */
import { randomBytes } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { cleanUpOrphans } from "../host/orphans.ts";
import { isAlive, readProcess } from "../host/process-table.ts";
import { settlesWithin } from "../host/wait.ts";
import type { MicroVm, Monitor } from "./machine.ts";
import { recoverMicroVm } from "./recover.ts";

const limits = { memoryBytes: 268_435_456, vcpus: 1, processes: 64, diskBytes: 8_388_608 };
const lastWordsMs = 1_000;

/**
 * Boots a machine, waits until its agent answers, and destroys it.
 *
 * @param stateDirectory State directory of the driver. Probes of killed nodes are cleaned up there.
 * @param boot Boots the machine.
 * @throws MachineError `boot_failed` or `attach_failed`, with the machine's console output.
 */
export async function probe(
  monitor: Monitor,
  stateDirectory: string,
  timeoutMs: number,
  boot: (spec: MachineSpec) => Promise<MicroVm>,
): Promise<void> {
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  await cleanUpDeadProbes(monitor, stateDirectory);
  const probe = newProbe(stateDirectory);
  await mkdir(probe.directory, { mode: 0o700 });
  const spec: MachineSpec = { ...probe, limits, network: "none", nodeLostTimeoutMs: timeoutMs };
  let machine: MicroVm | undefined;
  try {
    machine = await boot(spec);
    await attachTo(machine);
  } finally {
    await machine?.destroy();
    await cleanUpOrphans(probe.directory);
  }
}

/** The last console output explains a failure better than the closed channel. */
async function attachTo(machine: MicroVm): Promise<void> {
  try {
    await machine.attach(1);
  } catch (cause) {
    if (!(await settlesWithin(machine.exited, lastWordsMs))) throw cause;
    const words = (await machine.exited).console.trim().split(/\r?\n/).join("; ");
    const why = words === "" ? "without output" : `with: ${words}`;
    throw new MachineError("boot_failed", `The machine exited before its agent answered, ${why}`, {
      cause,
    });
  }
}

/** The directory name identifies the probing process, because a probe has no record. */
function newProbe(stateDirectory: string): Pick<MachineSpec, "id" | "directory"> {
  const mark = randomBytes(8).toString("hex");
  const { pid, startTicks } = readProcess(process.pid) ?? { pid: process.pid, startTicks: 0 };
  return { id: `trial${mark}`, directory: join(stateDirectory, `trial-${mark}-${pid}-${startTicks}`) };
}

async function cleanUpDeadProbes(monitor: Monitor, stateDirectory: string): Promise<void> {
  for (const name of await readdir(stateDirectory)) {
    const [, mark, pid, startTicks] = /^trial-([0-9a-f]{16})-(\d+)-(\d+)$/.exec(name) ?? [];
    if (mark === undefined || isAlive({ pid: Number(pid), startTicks: Number(startTicks) })) continue;
    const directory = join(stateDirectory, name);
    await recoverMicroVm(monitor, { driver: monitor.kind, id: `trial${mark}`, directory, facts: {} });
  }
}
