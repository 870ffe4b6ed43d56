/** Monitors that are started by hand, with the fewest steps, for what a driver does beyond that. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { makeFifos, openFifo } from "../../../packages/machines/src/host/fifo.ts";
import { closeOutput, FifoConsole } from "../../../packages/machines/src/host/fifo-console.ts";
import { becomeOwn } from "../../../packages/machines/src/microvm/copies.ts";
import { layoutOf } from "../../../packages/machines/src/microvm/layout.ts";
import type { Channels, MachineSpec } from "../../../packages/machines/src/mod.ts";
import { agentReady } from "../ready-machine.ts";

/** A guest may have to boot first, emulated and on a busy host. */
export const agentTimeoutMs = 180_000;
const helloTimeoutMs = 20_000;

/**
 * A monitor without its driver: nothing is written down, bounded or jailed. The agent of a guest is spoken to with the
 * driver's own channels, so what is left out is left out of the monitor alone.
 */
export interface BareMonitor {
  /** Milliseconds from the start of the monitor until the agent of a guest that boots is ready. */
  bootMs(spec: MachineSpec): Promise<number>;
  /**
   * The same for a guest that goes on from the files of a template of the driver, whose token it keeps.
   *
   * @param reseeds It is told randomness and the time, as the driver's copies are.
   */
  restoreMs(spec: MachineSpec, templateDirectory: string, reseeds: boolean): Promise<number>;
}

/** How a monitor is run. */
export interface BareRun {
  command: readonly [program: string, ...args: string[]];
  /** The token on the second disk. */
  token: string;
  reseeds: boolean;
  /** Lets the guest boot, or go on. */
  begin(isGone: () => boolean): Promise<void>;
  openChannels(next: {
    directory: string;
    token: string;
    epoch: number;
    signal: AbortSignal;
  }): Promise<Channels>;
}

/**
 * Runs a monitor in its directory until the agent in its guest is ready, ends it and removes the directory.
 *
 * @returns how long the agent took.
 */
export async function untilReadyMs(spec: MachineSpec, run: BareRun): Promise<number> {
  const { directory } = spec;
  const { controlIn, controlOut } = layoutOf(directory);
  await makeFifos([controlIn, controlOut], 0o600);
  // Read all the time, since a guest stands still that can't write to it.
  const { console, outputFd } = FifoConsole.open(controlOut);
  const inputFd = openFifo(controlIn, "write");
  const [program, ...args] = run.command;
  const startedAt = performance.now();
  const child = spawn(program, args, { cwd: directory, stdio: [inputFd, outputFd, outputFd] });
  const ended = once(child, "close").catch(() => undefined);
  try {
    await once(child, "spawn");
    await run.begin(() => child.exitCode !== null || child.signalCode !== null);
    if (run.reseeds) await becomeOwn(spec, console, run.token, agentTimeoutMs);
    await attachUntilReady(directory, run);
    return performance.now() - startedAt;
  } finally {
    child.kill("SIGKILL");
    await ended;
    closeSync(inputFd);
    closeOutput(outputFd);
    console.destroy();
    await rm(directory, { recursive: true });
  }
}

/**
 * The kernel of a restored guest ends the connections that were made before it noticed, and tells nobody: such an epoch
 * stays silent, and another is begun. A guest that is reseeded has noticed by then.
 */
async function attachUntilReady(directory: string, { token, openChannels }: BareRun): Promise<void> {
  const signal = AbortSignal.timeout(agentTimeoutMs);
  for (let epoch = 1; ; epoch++) {
    const channels = await openChannels({ directory, token, epoch, signal });
    try {
      return await agentReady(channels, epoch, helloTimeoutMs);
    } catch (error) {
      channels.frames.destroy();
      channels.calls.destroy();
      if (signal.aborted) throw error;
    }
  }
}

/** The token that a second disk gives its machine. */
export function tokenIn(disk: Buffer): string {
  const [, token] = /^nex_token=([0-9a-f]+)$/m.exec(disk.toString("latin1")) ?? [];
  if (token === undefined) throw new Error("a template has no token");
  return token;
}
