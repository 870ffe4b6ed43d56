/** Boots a container: prepares its directory, starts it with the OCI runtime, and sets up its network. */
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import type { MachineSpec } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { countsSwap } from "../host/cgroup-mounts.ts";
import { makeFifos } from "../host/fifo.ts";
import { closeOutput, FifoConsole } from "../host/fifo-console.ts";
import { goneTicks, type ProcessIdentity, readProcess } from "../host/process-table.ts";
import { attachNetwork, demandNetwork, needsNetworkSetup } from "../network/attach-network.ts";
import { cleanUp } from "./cleanup.ts";
import { bundleConfig, rootOf } from "./config.ts";
import type { ContainerHost } from "./host.ts";
import { writeHostsFile } from "./hosts-file.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { ContainerMachine } from "./machine.ts";

/**
 * Boots one machine: creates its bundle, user ids and console, and runs the OCI runtime, which then exits.
 *
 * @throws MachineError `boot_failed`; nothing is left behind.
 */
export async function bootContainer(host: ContainerHost, spec: MachineSpec): Promise<ContainerMachine> {
  const cgroup = host.cgroup(spec.id);
  if (cgroup.exists()) throw bootFailure(spec.id, "its cgroup already exists");
  await demandNetwork(spec, host.egress);
  host.enter(spec.id);
  let range: number | undefined;
  try {
    await host.prepare();
    range = await host.ranges.take(spec.id);
    const layout = layoutOf(spec.directory);
    await makeBundle(host, spec, layout, range);
    const { console, egressAddress } = await start(host, spec, layout);
    try {
      const identity = await identify(layout, spec.id);
      const facts = { identity, range, cgroupParent: host.settings.cgroupParent, egressAddress };
      return new ContainerMachine(host, spec, facts, console);
    } catch (error) {
      console.destroy();
      throw error;
    }
  } catch (error) {
    const { id, directory } = spec;
    const egress = spec.network === "egress";
    await cleanUp(host, { id, directory, cgroup, range, egress }).catch(() => undefined);
    if (error instanceof MachineError) throw error;
    throw bootFailure(spec.id, "the host refuses something", { cause: error });
  }
}

async function makeBundle(
  host: ContainerHost,
  spec: MachineSpec,
  layout: Layout,
  range: number,
): Promise<void> {
  // Only the owner may enter the directory, so that other users of the host can't reach the channels.
  await chmod(layout.directory, 0o700);
  await mkdir(layout.bundle);
  await mkdir(layout.channels);
  await chmod(layout.channels, 0o755);
  const { hosts = [] } = spec;
  const root = rootOf(spec, host.settings);
  if (hosts.length > 0) await writeHostsFile(layout.hosts, { id: spec.id, hosts }, root);
  const config = bundleConfig(spec, {
    settings: host.settings,
    layout,
    hostIdFirst: host.ranges.hostIdFirst(range),
    openFilesLimit: await openFilesLimit(),
    countsSwap: countsSwap(host.cgroupMounts),
    cgroupNamespace: existsSync("/proc/self/ns/cgroup"),
  });
  await writeFile(layout.config, JSON.stringify(config));
}

interface Started {
  console: FifoConsole;
  egressAddress: string | undefined;
}

async function start(host: ContainerHost, spec: MachineSpec, layout: Layout): Promise<Started> {
  await makeFifos([layout.console], 0o600);
  const { console, outputFd } = FifoConsole.open(layout.console);
  try {
    return { console, egressAddress: await run(host, spec, layout, outputFd) };
  } catch (error) {
    console.destroy();
    throw error;
  } finally {
    closeOutput(outputFd);
  }
}

/**
 * Runs the container in one step if possible, because two steps take longer. @returns the machine's egress address,
 * if it has one.
 */
async function run(
  { runtime, egress }: ContainerHost,
  spec: MachineSpec,
  layout: Layout,
  outputFd: number,
): Promise<string | undefined> {
  const check = (failure: string | undefined): void => {
    if (failure !== undefined) throw bootFailure(spec.id, failure);
  };
  if (!needsNetworkSetup(spec)) {
    check(await runtime.run(spec.id, layout, outputFd));
    return undefined;
  }
  check(await runtime.create(spec.id, layout, outputFd));
  const { pid, startTicks } = await identify(layout, spec.id);
  if (startTicks === goneTicks) check("its first process exited before it was started");
  const egressAddress = await attachNetwork(spec, pid, egress);
  check(await runtime.begin(spec.id, layout));
  return egressAddress;
}

/** Identifies the machine's first process, also if it has already exited. */
async function identify(layout: Layout, id: string): Promise<ProcessIdentity> {
  const pid = Number(await readFile(layout.pidFile, "utf8"));
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  const entry = readProcess(pid);
  const startTicks = entry && groups.includes(`/${id}`) ? entry.startTicks : goneTicks;
  return { pid, startTicks };
}

/** Open-file limit of this process. A machine in its own user namespace can't exceed it. */
async function openFilesLimit(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "latin1");
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  return hard === undefined || hard === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(hard);
}
