/**
 * The seam between a node and whatever makes its sandboxes. A driver is a few verbs in life order
 * (`fingerprint`, `boot`; then on the machine `attach`, `stop`, `destroy`) and some optional abilities.
 * Nothing here knows NATS, Nex messages or what runs in a machine.
 */
import type { Duplex } from "node:stream";

/** The kinds of sandbox, weakest first. */
export const sandboxKinds = ["process", "container", "qemu", "firecracker"] as const;
export type SandboxKind = (typeof sandboxKinds)[number];

/** What a machine may use. A member that is absent is not limited. */
export interface MachineLimits {
  memoryBytes?: number;
  /** Processors; a fraction is fine. */
  vcpus?: number;
  /** Processes and threads together. */
  processes?: number;
  /** Writable bytes in the machine. */
  diskBytes?: number;
}
export type LimitName = keyof MachineLimits;

/**
 * How a machine reaches the world: not at all, by the relay that its agent runs over its channel (nothing that a
 * driver sees, but for `hosts` and `loopbackAddresses`), or also by what `egress` lists.
 */
export type MachineNetwork = "none" | "nats" | "egress";

/** A line of a machine's hosts file. */
export interface HostEntry {
  /** Lower-case DNS name. */
  name: string;
  /** IPv4 or IPv6, without brackets. */
  address: string;
}

/** What a machine with the network `egress` may connect to, by TCP and UDP. Everything else is dropped. */
export interface EgressTarget {
  /** IPv4 or IPv6, without brackets; of a network its first address. */
  address: string;
  /** 32 and 128 name one address. */
  prefixBits: number;
  port: number;
}

/** What a driver needs to know to boot one machine. */
export interface MachineSpec {
  /** Chosen by the caller, `[a-z0-9]{1,32}`, unique on the host. */
  id: string;
  /** A directory that the caller has made (0700) and that this machine owns from now on: `destroy` removes it. */
  directory: string;
  limits: MachineLimits;
  network: MachineNetwork;
  /** Names that the machine knows beside `localhost`; at most 256. */
  hosts?: readonly HostEntry[];
  /** Addresses beside 127.0.0.0/8 and ::1 that the machine's loopback device answers to; at most 64. */
  loopbackAddresses?: readonly string[];
  /** With `egress` only, and then at least 1; at most 256. */
  egress?: readonly EgressTarget[];
  /** How long an agent whose node stays away keeps its machine. Drivers that end with their node ignore it. */
  nodeLostTimeoutMs: number;
}

/** Whether this host can run the driver, found by trying. */
export type Fingerprint =
  | { available: true /** Facts for people: versions, paths. */; details: Record<string, string> }
  | { available: false /** Why not. */; reason: string /** What to do about it. */; advice: string };

/**
 * The two byte channels of a machine (see the agent's frame protocol for what goes over them). What the machine wrote
 * before its end can be read after it. A channel has no half-closed state, and breaks with `close`: an `error` event
 * that nobody listens to does no harm.
 */
export interface Channels {
  /** Frames in both directions, any number outstanding. */
  frames: Duplex;
  /** One blocking call at a time: the machine writes, then reads. */
  calls: Duplex;
}

/** How a machine ended. */
export interface MachineExit {
  reason: "exited" | "killed" | "out_of_memory" | "unknown";
  /** The exit status, where one is known. */
  code?: number;
  /** The last lines that the machine wrote to its console, at most 4 KiB; for people only. */
  console: string;
}

/** What a machine uses now. A member that the driver can't measure is absent. */
export interface MachineUsage {
  /** Proportional resident memory of all its processes. */
  memoryBytes?: number;
  cpuMs?: number;
  processes?: number;
}

/** One sandbox. It owns its processes, directory and sockets, and gives all of them back in `destroy`. */
export interface Machine {
  readonly id: string;
  /** Settles once, when the machine has ended by whatever cause; never rejects. */
  readonly exited: Promise<MachineExit>;
  /**
   * Opens both channels. Each call begins a new epoch and ends the channels of the former one.
   *
   * @param epoch Grows with every call, over restarts of the node too.
   * @throws MachineError `wrong_state` when the machine has ended, `attach_failed` when its end does not answer,
   *   or when the driver allows one epoch only.
   */
  attach(epoch: number): Promise<Channels>;
  usage(): Promise<MachineUsage>;
  /**
   * Asks the machine to end and waits at most `graceMs`, then kills it and whatever belongs to it. Idempotent: a
   * later call may shorten the time, never lengthen it. Settles when nothing of the machine runs any more.
   *
   * @returns whether it had to be killed; what it left running when it ended by itself does not count.
   * @throws MachineError `destroy_failed` when something could not be killed.
   */
  stop(graceMs: number): Promise<{ forced: boolean }>;
  /**
   * Kills what still runs and removes everything that the machine held, its directory too. Idempotent; takes every
   * step even when one fails, and only then rejects. A later call tries again what was left.
   *
   * @throws MachineError `destroy_failed` when something is left.
   */
  destroy(): Promise<void>;
  /** What another process needs to `recover` this machine; JSON-safe, no secrets. Absent where it can't be. */
  record?(): MachineRecord;
}

/** A machine as it is written down for the time after a crash of the node. */
export interface MachineRecord {
  driver: SandboxKind | "mock";
  id: string;
  directory: string;
  /** Driver-specific facts: pids with their start times, cgroup paths and the like. */
  facts: Record<string, string | number>;
}

/** Makes machines of one kind. */
export interface Driver {
  readonly kind: SandboxKind | "mock";
  /** The limits that this driver holds against a hostile workload; the caller refuses requests for others. */
  readonly enforces: ReadonlySet<LimitName>;
  /** The networks it can give; whatever depends on the host is in it after `fingerprint`. */
  readonly networks: ReadonlySet<MachineNetwork>;
  /** A machine has a loopback device of its own: what listens on the host's is not there. */
  readonly ownLoopback: boolean;
  /** With the network `egress`: targets of IPv6 are carried too. */
  readonly carriesIpv6: boolean;
  /** Can machines be booted here? By trying, bounded in time; never throws. */
  fingerprint(): Promise<Fingerprint>;
  /**
   * Makes a machine and starts its agent. The machine may still be starting when this returns: the first frame over
   * the channel says that it is ready, and `exited` says that it never will be.
   *
   * @throws MachineError `boot_failed`, `limit_not_enforced`, `network_not_offered`; nothing is left behind then, the
   *   machine's directory included.
   */
  boot(spec: MachineSpec): Promise<Machine>;
  /** Finds a machine that another process booted, or says that it is gone by returning `undefined`. */
  recover?(record: MachineRecord): Promise<Machine | undefined>;
  /** Removes what it keeps between machines, once no more are booted. */
  close?(): Promise<void>;
}
