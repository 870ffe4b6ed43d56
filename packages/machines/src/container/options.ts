/** What a container driver is told. */
export interface ContainerDriverOptions {
  /** The tree that every machine sees as its root, read-only. Users without rights must be able to reach it. */
  rootfs: string;
  /** The program that runs as the machine, by its place in the rootfs, and its arguments. The channels are added. */
  command: readonly [program: string, ...args: string[]];
  /** Where the runtime keeps its state; one for each node. Made when missing. */
  stateDirectory: string;
  /** The OCI runtime. Default `runc`. */
  runtime?: string;
  /** The control group above those of the machines, gone when the last one is. Default `nex`. */
  cgroupParent?: string;
  /** The first id on the host of the first machine; each machine has 65,536 of its own. Default 1,000,000. */
  hostIdFirst?: number;
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
    runtime: "runc",
    cgroupParent: "nex",
    hostIdFirst: 1_000_000,
    runtimeTimeoutMs: 20_000,
    attachTimeoutMs: 30_000,
    killTimeoutMs: 10_000,
    ...options,
  };
}
