/** Both kinds of microVM: the driver as a node makes it, and its monitor without it, of the same settings. */
import { FirecrackerDriver } from "../../../packages/machines/src/firecracker/driver.ts";
import { completeOptions as completeFirecracker } from "../../../packages/machines/src/firecracker/options.ts";
import type { Driver } from "../../../packages/machines/src/mod.ts";
import { QemuDriver } from "../../../packages/machines/src/qemu/driver.ts";
import { completeOptions as completeQemu } from "../../../packages/machines/src/qemu/options.ts";
import {
  type DriverFiles,
  firecrackerOptions,
  qemuOptions,
} from "../../../packages/node/src/sandbox/kinds.ts";
import type { BareMonitor } from "./bare.ts";
import { BareFirecracker } from "./bare-firecracker.ts";
import { BareQemu } from "./bare-qemu.ts";

export type MicroVmKind = "qemu" | "firecracker";

/** The parts of a kind that are compared. */
export interface Compared {
  driver: Driver;
  bare: BareMonitor;
  /** State directory of the driver. */
  stateDirectory: string;
  initramfs: string;
  /** The same driver, whose machines boot another one. */
  driverOf(initramfs: string): Driver;
}

/** @param image That the machines have as their root. */
export function comparedOf(
  kind: MicroVmKind,
  files: DriverFiles,
  directory: string,
  image: string,
): Compared {
  if (kind === "qemu") {
    const settings = completeQemu({ ...qemuOptions(files, directory), image });
    const { stateDirectory, boot } = settings;
    return {
      ...{ driver: new QemuDriver(settings), bare: new BareQemu(settings) },
      ...{ stateDirectory, initramfs: boot.initramfs },
      driverOf: (initramfs) => new QemuDriver({ ...settings, boot: { ...boot, initramfs } }),
    };
  }
  const settings = completeFirecracker({ ...firecrackerOptions(files, directory), image });
  const { stateDirectory, boot } = settings;
  return {
    ...{ driver: new FirecrackerDriver(settings), bare: new BareFirecracker(settings) },
    ...{ stateDirectory, initramfs: boot.initramfs },
    driverOf: (initramfs) => new FirecrackerDriver({ ...settings, boot: { ...boot, initramfs } }),
  };
}
