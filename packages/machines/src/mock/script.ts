import type { MachineExit, MachineUsage } from "../driver.ts";
import type { MockGuest } from "./guest.ts";

/** What happens at one boot and in the machine that comes of it. Nothing given: a guest that is silent but obedient. */
export interface MockBoot {
  /** The boot fails: with this error, or as `boot_failed` for this reason. */
  fails?: Error | string;
  /** The boot returns after this has settled, and fails when it rejects. */
  until?: Promise<unknown>;
  /** `attach` fails for this reason. */
  attachFails?: string;
  /** The machine has ended when the boot returns. */
  endsAtOnce?: Partial<MachineExit>;
  /** The guest sends these bytes as frames at every attach. */
  sends?: Uint8Array;
  /** Runs at every attach, and plays the guest. */
  serves?: (guest: MockGuest, epoch: number) => void;
  /** The guest does not end when it is asked to. */
  ignoresStop?: boolean;
  /** `destroy` fails this many times before it succeeds. */
  destroyFailures?: number;
  usage?: MachineUsage;
}

/** Decides for each boot, by its number from 0, what happens. */
export type MockScript = (index: number) => MockBoot;
