import type { MachineLimits } from "../driver.ts";
import { defaultHostIdFirst } from "../host/ids.ts";
import type { MicroVmSettings } from "../microvm/settings.ts";
import { defaultEgressNetwork } from "../network/egress.ts";
import type { BootFiles } from "../rootfs/boot-manifest.ts";

/** How much may go through a device of a machine in a time: what is left of it is filled up evenly. */
export interface TokenBucket {
  /** Bytes or operations. */
  size: number;
  /** In which an empty bucket gets full. */
  refillTimeMs: number;
  /** Beside it, once. */
  oneTimeBurst?: number;
}

/** The bounds of a device. */
export interface RateLimiters {
  bandwidth?: TokenBucket;
  operations?: TokenBucket;
}

/** What a Firecracker driver is told. */
export interface FirecrackerDriverOptions {
  /** The ext4 image that every machine has as its root, read-only. */
  image: string;
  /** The kernel, uncompressed, and the initramfs that machines boot. */
  boot: BootFiles;
  /** The program that runs as the machine, by its place in the image, and its arguments. The channels are added. */
  command: readonly [program: string, ...args: string[]];
  /** Arguments that follow the program for a machine with these limits. Default none. */
  limitArguments?: (limits: MachineLimits) => readonly string[];
  /** Where the machines' jails and templates are; one for each node. Its file system must allow devices. */
  stateDirectory: string;
  /** Where the nodes of this host note which user ids their machines have. */
  idsDirectory: string;
  /** The first user id of machines. */
  hostIdFirst?: number;
  /** The control group above those of the machines, below the root of each hierarchy. */
  cgroupParent: string;
  /** The program. Default `firecracker`. */
  program?: string;
  /** The program that puts it into its jail. Default `jailer`. */
  jailer?: string;
  /** Of the disk with the root. Default none. */
  rateLimiters?: RateLimiters;
  /** Of a machine without a limit. Default 512 MiB. */
  memoryBytesDefault?: number;
  /** The IPv4 network from which machines with egress get two addresses each; see the container driver. */
  egressNetwork?: string;
  /** How long Firecracker may take for each thing that it is asked. Default 30,000. */
  apiTimeoutMs?: number;
  /** How long an attach waits for the guest, which may have to boot first. Default 30,000. */
  attachTimeoutMs?: number;
  /** How long a killed machine may take to be gone. Default 10,000. */
  killTimeoutMs?: number;
}

/** The same, complete. */
export type FirecrackerDriverSettings = Required<FirecrackerDriverOptions> & MicroVmSettings;

/** Fills in the defaults. */
export function completeOptions(options: FirecrackerDriverOptions): FirecrackerDriverSettings {
  return {
    limitArguments: () => [],
    hostIdFirst: defaultHostIdFirst,
    program: "firecracker",
    jailer: "jailer",
    rateLimiters: {},
    memoryBytesDefault: 536_870_912,
    egressNetwork: defaultEgressNetwork,
    apiTimeoutMs: 30_000,
    attachTimeoutMs: 30_000,
    killTimeoutMs: 10_000,
    ...options,
  };
}
