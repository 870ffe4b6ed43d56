import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { holdsWithin } from "../../../packages/machines/src/host/wait.ts";
import { byShortPath } from "../../../packages/machines/src/microvm/attachment.ts";
import { configDisk } from "../../../packages/machines/src/microvm/config-disk.ts";
import { newToken } from "../../../packages/machines/src/microvm/epoch-header.ts";
import type { MachineSpec } from "../../../packages/machines/src/mod.ts";
import { openQemuChannels } from "../../../packages/machines/src/qemu/channels.ts";
import { qemuArguments } from "../../../packages/machines/src/qemu/command.ts";
import { names } from "../../../packages/machines/src/qemu/names.ts";
import type { QemuDriverSettings } from "../../../packages/machines/src/qemu/options.ts";
import { Qmp } from "../../../packages/machines/src/qemu/qmp.ts";
import { type BareMonitor, tokenIn, untilReadyMs } from "./bare.ts";

const startTimeoutMs = 20_000;
const orderTimeoutMs = 60_000;
const pollMs = 2;

/** QEMU with the arguments of the driver, started by hand. */
export class BareQemu implements BareMonitor {
  readonly #settings: QemuDriverSettings;

  constructor(settings: QemuDriverSettings) {
    this.#settings = settings;
  }

  async bootMs(spec: MachineSpec): Promise<number> {
    const { directory } = spec;
    const token = newToken();
    await this.#placeDisk(spec, configDisk(spec, this.#settings, token, "port"));
    return await untilReadyMs(spec, {
      command: [this.#settings.program, ...qemuArguments(spec, this.#settings)],
      ...{ token, reseeds: false, openChannels: openQemuChannels },
      begin: (isGone) => socketThere(join(directory, names.frames), isGone),
    });
  }

  async restoreMs(spec: MachineSpec, templateDirectory: string, reseeds: boolean): Promise<number> {
    const { directory } = spec;
    const [memory, state] = [join(templateDirectory, "memory"), join(templateDirectory, "state")];
    const disk = await readFile(join(templateDirectory, names.config));
    await this.#placeDisk(spec, disk);
    return await untilReadyMs(spec, {
      command: [this.#settings.program, ...this.#restoreArguments(spec, memory)],
      ...{ token: tokenIn(disk), reseeds, openChannels: openQemuChannels },
      begin: async (isGone) => {
        await socketThere(join(directory, names.orders), isGone);
        await resume(directory, state);
      },
    });
  }

  async #placeDisk({ directory }: MachineSpec, disk: Buffer): Promise<void> {
    await mkdir(directory, { mode: 0o700 });
    await writeFile(join(directory, names.config), disk);
  }

  /** Without its sandbox, in which QEMU may start no program that reads it the state. */
  #restoreArguments(spec: MachineSpec, memory: string): string[] {
    const args = qemuArguments(spec, this.#settings, { memory, isCopy: true });
    return args.slice(0, args.indexOf("-sandbox"));
  }
}

async function socketThere(path: string, isGone: () => boolean): Promise<void> {
  await holdsWithin(() => existsSync(path) || isGone(), startTimeoutMs, pollMs);
}

/** Lets the guest go on, once it has its state. */
async function resume(directory: string, state: string): Promise<void> {
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
