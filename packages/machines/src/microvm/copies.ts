/** What turns a copy of a machine into one of its own, for both kinds of microVM. */
import { randomBytes } from "node:crypto";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import type { FifoConsole } from "../host/fifo-console.ts";
import { copyReadyWords } from "../rootfs/guest-init.ts";
import { type MicroVm, type Monitor, tellInit } from "./machine.ts";

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

/**
 * Makes a copy that runs a machine of its own: tells its init a token, new randomness and what time it is, and waits
 * until it says that all of it is in place.
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
    throw bootFailure(id, "its init can't be told that it is a copy", { cause });
  }
  if (!(await console.says(copyReadyWords, timeoutMs)))
    throw bootFailure(id, "its init does not say that it is a machine of its own");
}

function copyWords(token: string): string {
  const now = BigInt(Date.now());
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(now / msPerSecond, 0);
  time.writeBigInt64LE((now % msPerSecond) * nanosecondsPerMs, 8);
  const seed = Buffer.concat([randomBytes(seedBytes), time]);
  // As a shell's `printf` reads it back.
  const escaped = [...seed].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  return `resume ${token} ${escaped}`;
}
