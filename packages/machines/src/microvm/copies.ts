/** What turns a copy of a machine into one of its own, for both kinds of microVM. */
import { randomBytes } from "node:crypto";
import type { MicroVm, Monitor } from "./machine.ts";

/** Before this no node speaks: a template is ready when its agent has answered to it. */
const templateEpoch = 0;
const seedBytes = 32;
const nanosecondsPerMs = 1_000_000n;
const msPerSecond = 1_000n;

/**
 * Waits until the agent of a machine has answered, and holds the channels open: a copy sees them end, and so the time
 * begins in which its agent waits for a node.
 *
 * @throws MachineError `attach_failed`
 */
export async function openToAgent(monitor: Monitor, machine: MicroVm): Promise<Disposable> {
  const { id, directory } = machine;
  const token = tokenOf(machine);
  const signal = AbortSignal.timeout(monitor.settings.attachTimeoutMs);
  const channels = await monitor.openChannels(id, { directory, token, epoch: templateEpoch, signal });
  return {
    [Symbol.dispose]: () => {
      channels.frames.destroy();
      channels.calls.destroy();
    },
  };
}

/** With which both ends of a machine's channels begin an epoch. */
export function tokenOf(machine: MicroVm): string {
  return String(machine.record().facts["token"]);
}

/** What the init of a copy is told: its token, new randomness, and what time it is. */
export function copyWords(token: string): string {
  const now = BigInt(Date.now());
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(now / msPerSecond, 0);
  time.writeBigInt64LE((now % msPerSecond) * nanosecondsPerMs, 8);
  const seed = Buffer.concat([randomBytes(seedBytes), time]);
  // As a shell's `printf` reads it back.
  const escaped = [...seed].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  return `resume ${token} ${escaped}`;
}
