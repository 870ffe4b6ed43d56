import { join } from "node:path";
import type { MachineLimits } from "../driver.ts";
import { defaultHostIdFirst } from "../host/ids.ts";
import { defaultEgressNetwork } from "../network/egress.ts";

/** What a container driver is told. */
export interface ContainerDriverOptions {
  /** The tree that every machine sees as its root, read-only. Users without rights must be able to reach it. */
  rootfs: string;
  /** The program that runs as the machine, by its place in the rootfs, and its arguments. The channels are added. */
  command: readonly [program: string, ...args: string[]];
  /** Arguments that follow the program for a machine with these limits. Default none. */
  limitArguments?: (limits: MachineLimits) => readonly string[];
  /** Where the runtime keeps its state; one for each node. Made when missing. */
  stateDirectory: string;
  /** The OCI runtime. Default `runc`. */
  runtime?: string;
  /**
   * The control group above those of the machines, gone when the last one is; it may lie in others (`a/b`), which stay.
   * Default `nex`.
   */
  cgroupParent?: string;
  /** The first id on the host of the first machine; each machine has 65,536 of its own. Default 1,000,000. */
  hostIdFirst?: number;
  /** Where it is noted which ids are taken; one for all nodes of a host. Default `ranges` in the state directory. */
  idsDirectory?: string;
  /**
   * The IPv4 network from which machines with egress get two addresses each. It may be shared with other nodes of the
   * host, and must not be in use otherwise. Default `100.127.0.0/16`.
   */
  egressNetwork?: string;
  /** How long one run of the runtime may take. Default 20,000. */
  runtimeTimeoutMs?: number;
  /** How long an attach waits for the guest. Default 30,000. */
  attachTimeoutMs?: number;
  /** How long a killed machine may take to be gone. Default 10,000. */
  killTimeoutMs?: number;
}

/** The same, complete. */
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
