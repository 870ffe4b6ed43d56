/** Turns a copy of a machine into an independent machine, for both kinds of microVM. */
import { randomBytes } from "node:crypto";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import type { FifoConsole } from "../host/fifo-console.ts";
import { copyReadyWords } from "../rootfs/guest-init.ts";
import { type MicroVm, type Monitor, tellInit } from "./machine.ts";

/** Epoch of templates, before any node's epoch. A template is ready when its agent has answered in it. */
const templateEpoch = 0;
const seedBytes = 32;
const nanosecondsPerMs = 1_000_000n;
const msPerSecond = 1_000n;

/**
 * Waits until the agent has answered, and keeps the channels open. A copy sees them close, which starts its agent's
 * timeout for a lost node.
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

/** Returns the token with which both ends of a machine's channels start an epoch. */
export function tokenOf(machine: MicroVm): string {
  return String(machine.record().facts["token"]);
}

/**
 * Makes a running copy independent: sends its init a new token, fresh entropy and the current time, and waits for its
 * confirmation.
 *
 * @throws MachineError `boot_failed`
 */
export async function becomeOwn(
  { id, directory }: Pick<MachineSpec, "id" | "directory">,
  console: FifoConsole,
  token: string,
  timeoutMs: number,
): Promise<void> {
  try {
    tellInit(directory, copyWords(token));
  } catch (cause) {
    throw bootFailure(id, "its init can't be told that the machine is a copy", { cause });
  }
  if (!(await console.says(copyReadyWords, timeoutMs)))
    throw bootFailure(id, "its init did not confirm its new identity in time");
}

function copyWords(token: string): string {
  const now = BigInt(Date.now());
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(now / msPerSecond, 0);
  time.writeBigInt64LE((now % msPerSecond) * nanosecondsPerMs, 8);
  const seed = Buffer.concat([randomBytes(seedBytes), time]);
  // Escaped for a shell's `printf`.
  const escaped = [...seed].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  return `resume ${token} ${escaped}`;
}
