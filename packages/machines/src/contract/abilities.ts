import type { Driver, LimitName } from "../driver.ts";

/** What a driver under the contract suite can do, and what the suite needs to know of it. */
export interface DriverAbilities {
  /** How long one boot may take, until the guest answers. Under emulation this is minutes. */
  bootTimeoutMs: number;
  /** A second attach begins a new epoch; otherwise it is refused. */
  reattach: boolean;
  /** `record` and `recover` work. */
  recover: boolean;
  /** What the driver declares to enforce. */
  enforces: readonly LimitName[];
  /** The guest is a real program: it can be sent signals, be busy for ever, and have children. */
  realGuest: boolean;
  /** Which guests end when the process that booted them is killed. */
  endsWithNode: "all" | "idle" | "none";
  /** A module that exports `makeDriver`, for the program that boots a machine and is killed. */
  driverModule?: URL;
  /** `exited` tells the status of every machine; otherwise only of those whose end was seen in time. */
  exitStatus: boolean;
  /** Machines that are alike are copies of one. */
  copies?: boolean;
  /** Names whatever of a machine still runs or is mounted on the host; the directory is looked at by the suite. */
  orphans(directory: string): string[];
}

/** One driver under test, with the test guest as what it boots. */
export interface Subject {
  driver: Driver;
  abilities: DriverAbilities;
}
