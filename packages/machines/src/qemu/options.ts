import type { MachineLimits } from "../driver.ts";
import type { MicroVmSettings } from "../microvm/settings.ts";
import { defaultEgressNetwork } from "../network/egress.ts";
import type { BootFiles } from "../rootfs/boot-manifest.ts";

/** How the processor of a machine is had. */
export const accelerators = ["kvm", "tcg"] as const;
export type Accelerator = (typeof accelerators)[number];

/** What a QEMU driver is told. */
export interface QemuDriverOptions {
  /** The ext4 image that every machine has as its root, read-only. */
  image: string;
  /** The kernel and the initramfs that machines boot. */
  boot: BootFiles;
  /** The program that runs as the machine, by its place in the image, and its arguments. The channels are added. */
  command: readonly [program: string, ...args: string[]];
  /** Arguments that follow the program for a machine with these limits. Default none. */
  limitArguments?: (limits: MachineLimits) => readonly string[];
  /** Where a trial is made; one for each node. Made when missing. */
  stateDirectory: string;
  /** Emulation (`tcg`) works everywhere and is many times slower. Default `kvm`. */
  accelerator?: Accelerator;
  /** The program. Default `qemu-system-x86_64`. */
  program?: string;
  /** Of a machine without a limit. Default 512 MiB. */
  memoryBytesDefault?: number;
  /** The IPv4 network from which machines with egress get two addresses each; see the container driver. */
  egressNetwork?: string;
  /** How long QEMU may take to open its sockets. Default 20,000. */
  startTimeoutMs?: number;
  /** How long an attach waits for the guest, which may have to boot first. Default 30,000, or 180,000 emulated. */
  attachTimeoutMs?: number;
  /** How long a killed machine may take to be gone. Default 10,000. */
  killTimeoutMs?: number;
}

/** The same, complete. */
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
