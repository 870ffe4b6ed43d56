/** Probes whether this host can run containers, with a container that reads its own limits. */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Fingerprint, MachineSpec } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { countsSwap, withController } from "../host/cgroup-mounts.ts";
import { isAlive, readProcess } from "../host/process-table.ts";
import { removeTree } from "../host/remove-tree.ts";
import { describeUnmetRequirement } from "../network/describe.ts";
import { findUnmetLoopbackRequirement } from "../network/unmet-requirements.ts";
import { bootContainer } from "./boot.ts";
import { cpuPeriodUs } from "./config.ts";
import type { ContainerHost } from "./host.ts";
import type { ContainerMachine } from "./machine.ts";
import type { ContainerDriverSettings } from "./options.ts";
import { recoverContainer } from "./recover.ts";
import { findUnmetRequirement } from "./requirements.ts";
import { judgeRuntimeProgram } from "./runtime-version.ts";

const limits = { memoryBytes: 268_435_456, vcpus: 1, processes: 64, diskBytes: 8_388_608 };
/** Checks for the limits shown by the kernel. No limit reads as a word or as an out-of-range number. */
const limitsShown = {
  memory: limits.memoryBytes,
  pids: limits.processes,
  cpu: limits.vcpus * cpuPeriodUs,
} as const;

/** Checks the requirements, then boots a machine with every limit and verifies its confinement. */
export async function fingerprintContainer(
  settings: ContainerDriverSettings,
  makeHost: () => ContainerHost,
): Promise<Fingerprint> {
  const unmet = await findUnmetRequirement(settings);
  if (unmet) return { available: false, ...unmet };
  try {
    const host = makeHost();
    const { note } = await judgeRuntimeProgram(settings.runtime);
    const startedAt = performance.now();
    const unheld = await probe(host);
    if (unheld.length > 0) {
      const reason = `"${settings.runtime}" does not confine a machine with ${unheld.join(", ")}`;
      return { available: false, reason, advice: "Name another OCI runtime" };
    }
    return {
      available: true,
      details: {
        ...details(host, performance.now() - startedAt),
        ...(note === undefined ? {} : { "runtime version": note }),
        "loopback addresses": describeUnmetRequirement(await findUnmetLoopbackRequirement()),
      },
    };
  } catch (error) {
    const reason = error instanceof MachineError ? error.message : String(error);
    return {
      available: false,
      reason: `the probe failed. ${reason}`,
      advice: `Check the error of "${settings.runtime}", or use another sandbox`,
    };
  }
}

/** @returns the measures that don't confine the machine. */
async function probe(host: ContainerHost): Promise<string[]> {
  await mkdir(host.settings.stateDirectory, { recursive: true, mode: 0o700 });
  await cleanUpDeadProbes(host);
  const probe = newProbe(host);
  await mkdir(probe.directory, { mode: 0o700 });
  const spec: MachineSpec = { ...probe, limits, network: "none", nodeLostTimeoutMs: 0 };
  let machine: ContainerMachine | undefined;
  try {
    machine = await bootContainer(host, spec);
    return await findUnheld(host, machine);
  } finally {
    await machine?.destroy();
    await removeTree(probe.directory);
  }
}

/** The directory name identifies the probing process, because a probe has no record. */
function newProbe({ settings }: ContainerHost): Pick<MachineSpec, "id" | "directory"> {
  const mark = randomBytes(8).toString("hex");
  const { pid, startTicks } = readProcess(process.pid) ?? { pid: process.pid, startTicks: 0 };
  return {
    id: `trial${mark}`,
    directory: join(settings.stateDirectory, `trial-${mark}-${pid}-${startTicks}`),
  };
}

/** Cleans up probes of nodes that were killed during a probe. */
async function cleanUpDeadProbes(host: ContainerHost): Promise<void> {
  const { stateDirectory } = host.settings;
  for (const name of await readdir(stateDirectory)) {
    const [, mark, pid, startTicks] = /^trial-([0-9a-f]{16})-(\d+)-(\d+)$/.exec(name) ?? [];
    if (mark === undefined || isAlive({ pid: Number(pid), startTicks: Number(startTicks) })) continue;
    const record = {
      driver: "container",
      id: `trial${mark}`,
      directory: join(stateDirectory, name),
    } as const;
    await recoverContainer(host, { ...record, facts: {} });
  }
}

async function findUnheld(host: ContainerHost, machine: ContainerMachine): Promise<string[]> {
  const cgroup = host.cgroup(machine.id);
  const unheld = (["memory", "pids", "cpu"] as const)
    .filter((name) => Number(cgroup.limit(name)) !== limitsShown[name])
    .map((name): string => `the ${name} limit`);
  const status = await readFile(`/proc/${machine.pid}/status`, "latin1").catch(() => "");
  // A probe that has already exited can't be inspected, but it has started.
  if (status === "" || /^State:\s+Z/m.test(status)) return unheld;
  if (!/^NoNewPrivs:\s+1/m.test(status)) unheld.push("no-new-privileges");
  if (!/^Seccomp:\s+2/m.test(status)) unheld.push("a seccomp filter");
  if (!/^CapBnd:\s+0+$/m.test(status)) unheld.push("an empty set of capabilities");
  if (/^Uid:\s+0\s/m.test(status)) unheld.push("a user of its own");
  return unheld;
}

function details(host: ContainerHost, probeMs: number): Record<string, string> {
  const memory = withController(host.cgroupMounts, "memory");
  return {
    runtime: host.settings.runtime,
    rootfs: host.settings.rootfs,
    "control groups": `version ${memory?.version ?? 0}`,
    "limits swap": countsSwap(host.cgroupMounts) ? "yes" : "no",
    trial: `${Math.round(probeMs)} ms`,
  };
}
