import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFifos } from "../../../packages/machines/src/host/fifo.ts";
import { closeOutput, FifoConsole } from "../../../packages/machines/src/host/fifo-console.ts";
import { holdsWithin } from "../../../packages/machines/src/host/wait.ts";
import { byShortPath } from "../../../packages/machines/src/microvm/attachment.ts";
import { configDisk } from "../../../packages/machines/src/microvm/config-disk.ts";
import { newToken } from "../../../packages/machines/src/microvm/epoch-mark.ts";
import { layoutOf } from "../../../packages/machines/src/microvm/layout.ts";
import type { MachineSpec } from "../../../packages/machines/src/mod.ts";
import { openQemuChannels } from "../../../packages/machines/src/qemu/channels.ts";
import { type MemoryFile, qemuArguments } from "../../../packages/machines/src/qemu/command.ts";
import { names } from "../../../packages/machines/src/qemu/names.ts";
import type { QemuDriverSettings } from "../../../packages/machines/src/qemu/options.ts";
import { Qmp } from "../../../packages/machines/src/qemu/qmp.ts";
import { agentReady } from "../ready-machine.ts";
import { agentTimeoutMs, type BareMonitor, tokenIn, untilReadyMs } from "./bare.ts";

const startTimeoutMs = 20_000;
const orderTimeoutMs = 60_000;
const pollMs = 2;

/** A template's files, and how long QEMU may be asked for. */
type Restore = MemoryFile & { state: string };

/** QEMU with the arguments of the driver, started by hand. */
export class BareQemu implements BareMonitor {
  readonly #settings: QemuDriverSettings;

  constructor(settings: QemuDriverSettings) {
    this.#settings = settings;
  }

  async bootMs(spec: MachineSpec): Promise<number> {
    return await this.#untilReadyMs(spec, configDisk(spec, this.#settings, newToken(), "port"));
  }

  async restoreMs(spec: MachineSpec, templateDirectory: string): Promise<number> {
    const [memory, state] = [join(templateDirectory, "memory"), join(templateDirectory, "state")];
    const disk = await readFile(join(templateDirectory, names.config));
    return await this.#untilReadyMs(spec, disk, { memory, state, isCopy: true });
  }

  async #untilReadyMs(spec: MachineSpec, disk: Buffer, restore?: Restore): Promise<number> {
    const { directory } = spec;
    const { controlIn, controlOut } = layoutOf(directory);
    await mkdir(directory, { mode: 0o700 });
    await writeFile(join(directory, names.config), disk);
    await makeFifos([controlIn], 0o600);
    // Read all the time, since a guest stands still that can't write to it.
    const { console, outputFd } = await FifoConsole.make(controlOut);
    try {
      return await untilReadyMs(
        [this.#settings.program, ...this.#arguments(spec, restore)],
        directory,
        async (isGone) => {
          const socket = join(directory, restore === undefined ? names.frames : names.orders);
          await holdsWithin(() => existsSync(socket) || isGone(), startTimeoutMs, pollMs);
          if (restore !== undefined) await resume(directory, restore);
          const signal = AbortSignal.timeout(agentTimeoutMs);
          await agentReady(
            await openQemuChannels({ directory, token: tokenIn(disk), epoch: 1, signal }),
            agentTimeoutMs,
          );
        },
      );
    } finally {
      closeOutput(outputFd);
      console.destroy();
      await rm(directory, { recursive: true });
    }
  }

  /** To restore without its sandbox, in which QEMU may start no program that reads it the state. */
  #arguments(spec: MachineSpec, restore: Restore | undefined): string[] {
    const args = qemuArguments(spec, this.#settings, restore);
    return restore === undefined ? args : args.slice(0, args.indexOf("-sandbox"));
  }
}

/** Lets the guest go on, once it has its state. */
async function resume(directory: string, { state }: Restore): Promise<void> {
  using qmp = await byShortPath(directory, (here) => Qmp.open(`${here}/${names.orders}`, orderTimeoutMs));
  const ask = (order: string, given: Record<string, unknown> = {}): Promise<unknown> =>
    qmp.ask(order, given, orderTimeoutMs);
  await ask("migrate-set-capabilities", { capabilities: [{ capability: "x-ignore-shared", state: true }] });
  await ask("migrate-incoming", { uri: `exec:exec cat '${state}'` });
  const hasState = async (): Promise<boolean> =>
    ((await ask("query-status")) as { status: string }).status !== "inmigrate";
  if (!(await holdsWithin(hasState, orderTimeoutMs, pollMs)))
    throw new Error(`QEMU has no state after ${orderTimeoutMs} ms`);
  await ask("cont");
}
