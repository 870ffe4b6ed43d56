import type { Driver, LimitName } from "@nexengine/machines/internal";

/** Abilities of a driver under test, and facts that the suite needs. */
export interface DriverAbilities {
  /** Maximum time of a boot until the guest answers, in ms. Minutes under emulation. */
  bootTimeoutMs: number;
  /** Whether a second attach starts a new epoch; otherwise it is refused. */
  reattach: boolean;
  /** Whether `record` and `recover` are supported. */
  recover: boolean;
  /** Limits that the driver declares to enforce. */
  enforces: readonly LimitName[];
  /** Whether the guest is a real program that can be signalled, be busy and have children. */
  realGuest: boolean;
  /** Which guests exit when the process that booted them is killed. */
  endsWithNode: "all" | "idle" | "none";
  /** Module that exports `makeDriver`, for the program that boots a machine and is killed. */
  driverModule?: URL;
  /** Whether `exited` always reports the exit status. Otherwise it does so only if the exit was seen in time. */
  exitStatus: boolean;
  /** Whether identical machines are copies of one. */
  copies?: boolean;
  /** Lists processes and mounts of a machine that are left on the host. The suite checks the directory itself. */
  orphans(directory: string): string[];
}

/** One driver under test, which boots the test guest. */
export interface Subject {
  driver: Driver;
  abilities: DriverAbilities;
}
