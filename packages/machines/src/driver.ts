/**
 * The interface between a node and the drivers that make its sandboxes. A driver implements a few methods in
 * lifecycle order: `fingerprint` and `boot` on the driver, then `attach`, `stop` and `destroy` on the machine. Some
 * abilities are optional.
 * This module knows nothing about NATS, Nex messages or the workload in a machine.
 */
import type { Duplex } from "node:stream";

/** Sandbox kinds, ordered from weakest to strongest isolation. */
export const sandboxKinds = ["process", "container", "qemu", "firecracker"] as const;
/** Kind of sandbox. */
export type SandboxKind = (typeof sandboxKinds)[number];

/** Resource limits of a machine. An absent member means no limit. */
export interface MachineLimits {
  memoryBytes?: number;
  /** Number of CPUs; may be fractional. */
  vcpus?: number;
  /** Maximum number of processes and threads. */
  processes?: number;
  /** Maximum number of bytes that the machine can store. */
  diskBytes?: number;
}
/** Name of a limit. */
export type LimitName = keyof MachineLimits;

/**
 * Network access of a machine.
 * - `none`: no access.
 * - `nats`: access through the relay that the agent runs over its channel. The driver only sets `hosts` and
 *   `loopbackAddresses`.
 * - `egress`: the relay, and direct connections to the targets in `egress`.
 */
export type MachineNetwork = "none" | "nats" | "egress";

/** One entry in a machine's hosts file. */
export interface HostEntry {
  /** Lower-case DNS name. */
  name: string;
  /** IPv4 or IPv6 address without brackets. */
  address: string;
}

/** A TCP and UDP destination that a machine with the network `egress` may connect to. All other traffic is dropped. */
export interface EgressTarget {
  /** IPv4 or IPv6 address without brackets. For a network, its first address. */
  address: string;
  /** 32 (IPv4) or 128 (IPv6) means a single address. */
  prefixBits: number;
  port: number;
}

/**
 * Root file system of a machine, mounted read-only.
 * - `directory`: a file tree, for containers.
 * - `image`: a file with a file system, for microVMs.
 */
export interface MachineRoot {
  kind: "directory" | "image";
  /** Absolute path on the host. */
  path: string;
}

/** Parameters for booting one machine. */
export interface MachineSpec {
  /** Chosen by the caller. Must match `[a-z0-9]{1,32}` and be unique on the host. */
  id: string;
  /** Directory created by the caller with mode 0700. The machine owns it after `boot`, and `destroy` removes it. */
  directory: string;
  limits: MachineLimits;
  network: MachineNetwork;
  /** The driver's own root when absent. It must contain the driver's program. */
  root?: MachineRoot;
  /** Host names that the machine resolves in addition to `localhost`. At most 256. */
  hosts?: readonly HostEntry[];
  /** Addresses of the machine's loopback device in addition to 127.0.0.0/8 and ::1. At most 64. */
  loopbackAddresses?: readonly string[];
  /** Required with the network `egress` (1 to 256 entries) and refused with the others. */
  egress?: readonly EgressTarget[];
  /**
   * How long the agent waits for a lost node before the machine exits, in ms. Ignored by drivers whose machines exit
   * with their node.
   */
  nodeLostTimeoutMs: number;
}

/** Result of probing whether this host can run the driver. */
export type Fingerprint =
  | { available: true /** Facts to display, such as versions and paths. */; details: Record<string, string> }
  | {
      available: false /** Why the driver is unavailable. */;
      reason: string /** How to make it available. */;
      advice: string;
    };

/**
 * The two byte channels of a machine. The agent's frame protocol defines their content. Data that the machine wrote
 * before it exited can still be read afterwards. A channel is never half closed, and a broken channel emits `close`.
 * An `error` event without a listener does no harm.
 */
export interface Channels {
  /** Carries frames in both directions. Any number of requests may be outstanding. */
  frames: Duplex;
  /** Carries one blocking call at a time: the machine writes a request, then reads the reply. */
  calls: Duplex;
}

/** Reports how a machine exited. */
export interface MachineExit {
  reason: "exited" | "killed" | "out_of_memory" | "unknown";
  /** Exit status, if known. */
  code?: number;
  /** The last lines of console output, at most 4 KiB. For display only. */
  console: string;
}

/** Current resource usage of a machine. A member is absent if the driver can't measure it. */
export interface MachineUsage {
  /** Proportional set size (PSS) of all processes, in bytes. */
  memoryBytes?: number;
  cpuMs?: number;
  processes?: number;
}

/** One sandbox. It owns its processes, directory and sockets, and releases them in `destroy`. */
export interface Machine {
  readonly id: string;
  /** Resolves once the machine has exited for any reason. Never rejects. */
  readonly exited: Promise<MachineExit>;
  /**
   * Opens both channels. Each call starts a new epoch and closes the channels of the previous one.
   *
   * @param epoch Must increase with every call, including calls after a restart of the node.
   * @throws MachineError `wrong_state` if the machine has exited; `attach_failed` if the guest does not answer, or if
   *   the driver supports only one epoch.
   */
  attach(epoch: number): Promise<Channels>;
  /**
   * Lets go of the machine, which goes on: closes its channels and whatever this process holds of it. Another process
   * can `recover` it then. `exited` never settles afterwards. Absent if the machine ends with this process.
   */
  detach?(): void;
  usage(): Promise<MachineUsage>;
  /**
   * Number of processes in the machine that the kernel has killed because memory ran out. The machine may have survived
   * them. Absent if the driver can't tell.
   */
  oomKills?(): number;
  /**
   * Asks the machine to exit, waits up to `graceMs`, then kills all its processes. Idempotent: a later call can
   * shorten the grace period but not extend it. Resolves when no process of the machine is running.
   *
   * @returns whether the machine had to be killed. Processes left behind by a machine that exited by itself don't
   *   count.
   * @throws MachineError `destroy_failed` if a process can't be killed.
   */
  stop(graceMs: number): Promise<{ forced: boolean }>;
  /**
   * Kills all remaining processes and removes everything the machine held, including its directory. Idempotent. Runs
   * every cleanup step even if one fails, and rejects at the end. A later call retries the failed steps.
   *
   * @throws MachineError `destroy_failed` if anything is left.
   */
  destroy(): Promise<void>;
  /**
   * Returns the data that another process needs to `recover` this machine. It can be serialized as JSON and contains
   * no secrets. Absent if the driver can't recover machines.
   */
  record?(): MachineRecord;
}

/** Persistent record of a machine, used to recover it after the node crashes. */
export interface MachineRecord {
  driver: SandboxKind;
  id: string;
  directory: string;
  /** Driver-specific facts, such as pids with start times and cgroup paths. */
  facts: Record<string, string | number>;
}

/** Creates machines of one kind. */
export interface Driver {
  readonly kind: SandboxKind;
  /** Limits that this driver enforces against hostile workloads. Callers refuse requests for other limits. */
  readonly enforces: ReadonlySet<LimitName>;
  /** Networks that this driver supports. Networks that depend on the host are added by `fingerprint`. */
  readonly networks: ReadonlySet<MachineNetwork>;
  /** Kind of root that a spec may name. Absent if machines use the host's file system. */
  readonly rootKind?: MachineRoot["kind"];
  /** Whether each machine has its own loopback device, so that services on the host's loopback are unreachable. */
  readonly ownLoopback: boolean;
  /** Whether the network `egress` supports IPv6 targets. */
  readonly carriesIpv6: boolean;
  /** Probes whether machines can boot on this host. Takes a bounded time and never throws. */
  fingerprint(): Promise<Fingerprint>;
  /**
   * Creates a machine and starts its agent. The machine may still be starting when this method returns. The first
   * frame on the channel reports readiness. `exited` resolves if the machine never becomes ready.
   *
   * @throws MachineError `boot_failed`, `limit_not_enforced` or `network_not_offered`. After a failure nothing is
   *   left behind, and the machine's directory is removed.
   */
  boot(spec: MachineSpec): Promise<Machine>;
  /** Recovers a machine that another process booted. Returns `undefined` if the machine is gone. */
  recover?(record: MachineRecord): Promise<Machine | undefined>;
  /** Removes state shared between machines. Call it after the last boot. */
  close?(): Promise<void>;
}
