/** Options of the QEMU driver, as given and complete. */
import type { MachineLimits } from "../driver.ts";
import type { MicroVmSettings } from "../microvm/settings.ts";
import { defaultEgressNetwork } from "../network/egress.ts";
import type { BootFiles } from "../rootfs/boot-manifest.ts";

/** CPU virtualization methods. */
const accelerators = ["kvm", "tcg"] as const;
type Accelerator = (typeof accelerators)[number];

/** Options of a QEMU driver. */
export interface QemuDriverOptions {
  /** Image of the root of machines whose spec names none. */
  image: string;
  /** Kernel and initramfs of the machines. */
  boot: BootFiles;
  /** Program of the machine by its path in the image, and its arguments. The channel argument is appended. */
  command: readonly [program: string, ...args: string[]];
  /** Additional arguments that depend on a machine's limits. Default none. */
  limitArguments?: (limits: MachineLimits) => readonly string[];
  /** Directory for probes and templates, one per node. Created if missing. */
  stateDirectory: string;
  /** Emulation (`tcg`) works on every host but is much slower. Default `kvm`. */
  accelerator?: Accelerator;
  /** QEMU program. Default `qemu-system-x86_64`. */
  program?: string;
  /** Memory of a machine without a memory limit, in bytes. Default 512 MiB. */
  memoryBytesDefault?: number;
  /** IPv4 network of machines with egress; see the container driver. */
  egressNetwork?: string;
  /** Maximum time until QEMU opens its sockets, in ms. Default 20,000. */
  startTimeoutMs?: number;
  /**
   * Maximum wait for the guest to attach, in ms. The guest may have to boot first. Default 30,000, or 180,000 with
   * emulation.
   */
  attachTimeoutMs?: number;
  /** Maximum time for a killed machine to disappear, in ms. Default 10,000. */
  killTimeoutMs?: number;
}

/** Options with all defaults filled in. */
export type QemuDriverSettings = Required<QemuDriverOptions> & MicroVmSettings;

/** Fills in the defaults. */
export function completeOptions(options: QemuDriverOptions): QemuDriverSettings {
  return {
    limitArguments: () => [],
    accelerator: "kvm",
    program: "qemu-system-x86_64",
    memoryBytesDefault: 536_870_912,
    egressNetwork: defaultEgressNetwork,
    startTimeoutMs: 20_000,
    attachTimeoutMs: options.accelerator === "tcg" ? 180_000 : 30_000,
    killTimeoutMs: 10_000,
    ...options,
  };
}
