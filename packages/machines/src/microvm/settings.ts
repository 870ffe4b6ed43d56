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
