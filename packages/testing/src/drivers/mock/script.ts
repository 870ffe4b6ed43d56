import type { MachineExit, MachineUsage } from "@nexengine/machines/internal";
import type { MockGuest } from "./guest.ts";

/** Script of one boot and its machine. By default the guest is silent and obedient. */
export interface MockBoot {
  /** Fails the boot with this error, or with `boot_failed` and this reason. */
  fails?: Error | string;
  /** The boot returns after this promise resolves, and fails if it rejects. */
  until?: Promise<unknown>;
  /** Fails `attach` with this reason. */
  attachFails?: string;
  /** The machine has already exited when the boot returns. */
  endsAtOnce?: Partial<MachineExit>;
  /** Bytes that the guest sends as frames at every attach. */
  sends?: Uint8Array;
  /** Plays the guest at every attach. */
  serves?: (guest: MockGuest, epoch: number) => void;
  /** The guest ignores the request to stop. */
  ignoresStop?: boolean;
  /** Number of `destroy` calls that fail before one succeeds. */
  destroyFailures?: number;
  usage?: MachineUsage;
}

/** Decides the script of each boot by its index, starting at 0. */
export type MockScript = (index: number) => MockBoot;
