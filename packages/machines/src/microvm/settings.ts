import type { MachineLimits } from "../driver.ts";

/** What both kinds of microVM are told. */
export interface MicroVmSettings {
  /** The program that runs as the machine, by its place in the image, and its arguments. The channels are added. */
  command: readonly [program: string, ...args: string[]];
  /** Arguments that follow the program for a machine with these limits. */
  limitArguments: (limits: MachineLimits) => readonly string[];
  /** Of a machine without a limit. */
  memoryBytesDefault: number;
  /** How long an attach waits for the guest, which may have to boot first. */
  attachTimeoutMs: number;
  /** How long a killed machine may take to be gone. */
  killTimeoutMs: number;
}

/** How the agent of a microVM finds its channels: at serial ports, or at sockets that it listens on. */
export type GuestTransport = "port" | "vsock";

/** Below this, kernel and agent don't start. */
export const memoryBytesMin = 134_217_728;
