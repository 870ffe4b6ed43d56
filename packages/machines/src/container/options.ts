/** Options of the container driver, as given and complete. */
import { join } from "node:path";
import type { MachineLimits } from "../driver.ts";
import { defaultHostIdFirst } from "../host/ids.ts";
import { defaultEgressNetwork } from "../network/egress.ts";

/** Options of a container driver. */
export interface ContainerDriverOptions {
  /** Root of machines whose spec names none. Unprivileged users must be able to reach it. */
  rootfs: string;
  /** Program of the machine by its path in the rootfs, and its arguments. The channel argument is appended. */
  command: readonly [program: string, ...args: string[]];
  /** Additional arguments that depend on a machine's limits. Default none. */
  limitArguments?: (limits: MachineLimits) => readonly string[];
  /** State directory of the runtime, one per node. Created if missing. */
  stateDirectory: string;
  /** OCI runtime. Default `runc`. */
  runtime?: string;
  /**
   * Parent cgroup of the machines, removed with the last machine. It may be nested (`a/b`); outer groups are kept.
   * Default `nex`.
   */
  cgroupParent?: string;
  /** First host id of the first machine. Each machine gets 65,536 ids. Default 1,000,000. */
  hostIdFirst?: number;
  /** Directory of id claims, shared by all nodes of a host. Default `ranges` in the state directory. */
  idsDirectory?: string;
  /**
   * IPv4 network from which each machine with egress gets two addresses. Nodes of one host may share it. It must not
   * be used otherwise. Default `100.127.0.0/16`.
   */
  egressNetwork?: string;
  /** Timeout of one runtime command, in ms. Default 20,000. */
  runtimeTimeoutMs?: number;
  /** Maximum wait for the guest to attach, in ms. Default 30,000. */
  attachTimeoutMs?: number;
  /** Maximum time for a killed machine to disappear, in ms. Default 10,000. */
  killTimeoutMs?: number;
}

/** Options with all defaults filled in. */
export type ContainerDriverSettings = Required<ContainerDriverOptions>;

/** Fills in the defaults. */
export function completeOptions(options: ContainerDriverOptions): ContainerDriverSettings {
  return {
    limitArguments: () => [],
    runtime: "runc",
    cgroupParent: "nex",
    hostIdFirst: defaultHostIdFirst,
    idsDirectory: join(options.stateDirectory, "ranges"),
    egressNetwork: defaultEgressNetwork,
    runtimeTimeoutMs: 20_000,
    attachTimeoutMs: 30_000,
    killTimeoutMs: 10_000,
    ...options,
  };
}
