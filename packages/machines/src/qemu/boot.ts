/** Boots a QEMU machine, alone or as a copy of a template. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { makeFifos } from "../host/fifo.ts";
import { closeOutput, FifoConsole } from "../host/fifo-console.ts";
import { cleanUpOrphans } from "../host/orphans.ts";
import { goneTicks, isAlive, type ProcessIdentity, readProcess } from "../host/process-table.ts";
import { findProgram } from "../host/program.ts";
import { holdsWithin } from "../host/wait.ts";
import { configDisk, demandMemory } from "../microvm/config-disk.ts";
import { newToken } from "../microvm/epoch-header.ts";
import { type Layout, layoutOf } from "../microvm/layout.ts";
import { MicroVm } from "../microvm/machine.ts";
import { MonitorNetwork } from "../network/monitor-network.ts";
import { type MemoryFile, qemuArguments } from "./command.ts";
import type { QemuHost } from "./host.ts";
import { names } from "./names.ts";
import type { QemuDriverSettings } from "./options.ts";

/** A template to create, or the template that a machine is copied from. A copy shares its token and config. */
export type BootTemplate = MemoryFile & { token?: string; config?: string };

/**
 * Boots one machine: creates its FIFOs and second disk and starts QEMU. Resolves when QEMU has opened its sockets. At
 * that time the guest is booting, or waits for the saved state of its template.
 *
 * @throws MachineError `boot_failed`; nothing is left behind.
 */
export async function bootQemu(
  host: QemuHost,
  spec: MachineSpec,
  template?: BootTemplate,
): Promise<{ machine: MicroVm; console: FifoConsole }> {
  const { settings } = host;
  demandMemory(spec, settings);
  const layout = layoutOf(spec.directory);
  try {
    // Only the owner may enter the directory, so that other users of the host can't reach the channels.
    await chmod(layout.directory, 0o700);
    const token = template?.token ?? newToken();
    await using network = await MonitorNetwork.make(spec, host.egress);
    const egressAddress = network?.address;
    const disk =
      template?.config === undefined
        ? configDisk(spec, settings, token, "port", egressAddress)
        : await readFile(template.config);
    await writeFile(join(layout.directory, names.config), disk, { mode: 0o600, flag: "wx" });
    await makeFifos([layout.controlIn, layout.controlOut], 0o600);
    const { identity, console } = await start(settings, spec, layout, template, network);
    const facts = { identity, token, ...(egressAddress !== undefined && { egressAddress }) };
    return { machine: new MicroVm(host, spec, facts, console), console };
  } catch (error) {
    await cleanUpOrphans(layout.directory).catch(() => undefined);
    if (spec.network === "egress") await host.egress.release(spec.id).catch(() => undefined);
    if (error instanceof MachineError) throw error;
    throw bootFailure(spec.id, "the host refuses something", { cause: error });
  }
}

interface Started {
  identity: ProcessIdentity;
  console: FifoConsole;
}

/** Starts QEMU detached: it outlives this process. */
async function start(
  settings: QemuDriverSettings,
  spec: MachineSpec,
  layout: Layout,
  template: BootTemplate | undefined,
  network: MonitorNetwork | undefined,
): Promise<Started> {
  const program = await findProgram(settings.program);
  if (program === undefined) throw bootFailure(spec.id, `"${settings.program}" is not an executable file`);
  const { console, outputFd } = FifoConsole.open(layout.controlOut);
  try {
    const command = [program, ...qemuArguments(spec, settings, template)];
    const within = network === undefined ? command : await network.enter(command);
    const identity = await spawnQemu(within, layout.directory, outputFd);
    await awaitSockets(settings, layout, identity, template !== undefined);
    return { identity, console };
  } catch (error) {
    const said = (await console.end()).trim();
    const why = error instanceof Error ? error.message : String(error);
    throw bootFailure(spec.id, said === "" ? why : `${why}: ${said}`, { cause: error });
  }
}

/** @param outputFd Closed when the promise settles, after QEMU has inherited it. */
async function spawnQemu(
  [program = "", ...args]: readonly string[],
  directory: string,
  outputFd: number,
): Promise<ProcessIdentity> {
  try {
    const child = spawn(program, args, {
      cwd: directory,
      detached: true,
      stdio: ["ignore", outputFd, outputFd],
      env: {},
    });
    await once(child, "spawn");
    child.unref();
    const pid = child.pid ?? 0;
    return { pid, startTicks: readProcess(pid)?.startTicks ?? goneTicks };
  } finally {
    closeOutput(outputFd);
  }
}

async function awaitSockets(
  { startTimeoutMs, program }: QemuDriverSettings,
  { directory }: Layout,
  identity: ProcessIdentity,
  takesOrders: boolean,
): Promise<void> {
  const sockets = [names.frames, names.calls, ...(takesOrders ? [names.orders] : [])];
  const there = (): boolean => sockets.every((name) => existsSync(join(directory, name)));
  const settled = await holdsWithin(() => there() || !isAlive(identity), startTimeoutMs, 10);
  if (!settled) {
    throw new MachineError(
      "boot_failed",
      `"${program}" did not open its sockets within ${startTimeoutMs} ms`,
    );
  }
  if (!isAlive(identity)) throw new MachineError("boot_failed", `"${program}" has exited`);
}
