/** Monitors that are started by hand, with the fewest steps, for what a driver does beyond that. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { MachineSpec } from "../../../packages/machines/src/mod.ts";

/** A guest may have to boot first, emulated and on a busy host. */
export const agentTimeoutMs = 180_000;

/**
 * A monitor without its driver: nothing is written down, bounded or jailed. The agent of a guest is spoken to with the
 * driver's own channels, so what is left out is left out of the monitor alone.
 */
export interface BareMonitor {
  /** Milliseconds from the start of the monitor until the agent of a guest that boots is ready. */
  bootMs(spec: MachineSpec): Promise<number>;
  /**
   * The same for a guest that goes on from the files of a template of the driver. It stays what it is: it is told no
   * randomness, time and token, and answers to the token of its template.
   */
  restoreMs(spec: MachineSpec, templateDirectory: string): Promise<number>;
}

/** Runs a monitor until the agent in its guest is ready, and ends it. @returns how long that took. */
export async function untilReadyMs(
  [program, ...args]: readonly [program: string, ...args: string[]],
  directory: string,
  ready: (isGone: () => boolean) => Promise<void>,
): Promise<number> {
  const startedAt = performance.now();
  // Firecracker wants a standard input that it can wait for.
  const child: ChildProcess = spawn(program, args, { cwd: directory, stdio: ["pipe", "ignore", "ignore"] });
  const ended = once(child, "exit");
  ended.catch(() => undefined);
  await once(child, "spawn");
  try {
    await ready(() => child.exitCode !== null || child.signalCode !== null);
    return performance.now() - startedAt;
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

/** The token that a second disk gives its machine. */
export function tokenIn(disk: Buffer): string {
  const [, token] = /^nex_token=([0-9a-f]+)$/m.exec(disk.toString("latin1")) ?? [];
  if (token === undefined) throw new Error("a template has no token");
  return token;
}
