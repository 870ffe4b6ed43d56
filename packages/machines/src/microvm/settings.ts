/** Settings that both kinds of microVM share. */
import type { MachineLimits } from "../driver.ts";

/** Settings shared by both kinds of microVM. */
export interface MicroVmSettings {
  /** Program of the machine by its path in the image, and its arguments. The channel argument is appended. */
  command: readonly [program: string, ...args: string[]];
  /** Additional arguments that depend on a machine's limits. */
  limitArguments: (limits: MachineLimits) => readonly string[];
  /** Memory of a machine without a memory limit, in bytes. */
  memoryBytesDefault: number;
  /** Maximum wait for the guest to attach, in ms. The guest may have to boot first. */
  attachTimeoutMs: number;
  /** Maximum time for a killed machine to disappear, in ms. */
  killTimeoutMs: number;
}

/** Transport of the agent's channels: serial ports, or vsock sockets that the agent listens on. */
export type GuestTransport = "port" | "vsock";

/** Minimum memory for kernel and agent, in bytes. */
export const memoryBytesMin = 134_217_728;

/** Kernel command line of every guest: quiet, and power off on panic. */
export const kernelArguments = [
  ...["console=ttyS0", "quiet", "loglevel=1", "reboot=k", "panic=-1", "mitigations=off", "audit=0"],
  ...["i8042.noaux", "i8042.nomux", "i8042.dumbkbd", "8250.nr_uarts=1", "rcupdate.rcu_expedited=1"],
];
