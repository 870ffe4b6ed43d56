/** Options of the Firecracker driver, as given and complete. */
import type { MachineLimits } from "../driver.ts";
import { defaultHostIdFirst } from "../host/ids.ts";
import type { MicroVmSettings } from "../microvm/settings.ts";
import { defaultEgressNetwork } from "../network/egress.ts";
import type { BootFiles } from "../rootfs/boot-manifest.ts";

/** Rate limit of a device; the bucket refills continuously. */
export interface TokenBucket {
  /** Size in bytes or operations. */
  size: number;
  /** Time in which an empty bucket refills, in ms. */
  refillTimeMs: number;
  /** Additional initial budget, used once. */
  oneTimeBurst?: number;
}

/** Rate limits of a device. */
export interface RateLimiters {
  bandwidth?: TokenBucket;
  operations?: TokenBucket;
}

/** Options of a Firecracker driver. */
export interface FirecrackerDriverOptions {
  /** Image of the root of machines whose spec names none. */
  image: string;
  /** Uncompressed kernel and initramfs of the machines. */
  boot: BootFiles;
  /** Program of the machine by its path in the image, and its arguments. The channel argument is appended. */
  command: readonly [program: string, ...args: string[]];
  /** Additional arguments that depend on a machine's limits. Default none. */
  limitArguments?: (limits: MachineLimits) => readonly string[];
  /** Directory of jails and templates, one per node. Its file system must allow devices. */
  stateDirectory: string;
  /** Directory of user id claims, shared by all nodes of a host. */
  idsDirectory: string;
  /** First host user id of machines. */
  hostIdFirst?: number;
  /** Parent cgroup of the machines, below the root of each hierarchy. */
  cgroupParent: string;
  /** Firecracker program. Default `firecracker`. */
  program?: string;
  /** Jailer program. Default `jailer`. */
  jailer?: string;
  /** Rate limits of the root disk. Default none. */
  rateLimiters?: RateLimiters;
  /** Memory of a machine without a memory limit, in bytes. Default 512 MiB. */
  memoryBytesDefault?: number;
  /** IPv4 network of machines with egress; see the container driver. */
  egressNetwork?: string;
  /** Timeout of each API request, in ms. Default 30,000. */
  apiTimeoutMs?: number;
  /** Maximum wait for the guest to attach, in ms. The guest may have to boot first. Default 30,000. */
  attachTimeoutMs?: number;
  /** Maximum time for a killed machine to disappear, in ms. Default 10,000. */
  killTimeoutMs?: number;
}

/** Options with all defaults filled in. */
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
