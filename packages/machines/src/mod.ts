/**
 * Machines of Nex: the interface between a node and its sandboxes, and the drivers that create them.
 *
 * @module
 */
export { ContainerDriver } from "./container/driver.ts";
export type { ContainerDriverOptions } from "./container/options.ts";
export { findUnmetHostRequirement as findUnmetContainerRequirement } from "./container/requirements.ts";
export {
  type Channels,
  type Driver,
  type EgressTarget,
  type Fingerprint,
  type HostEntry,
  type LimitName,
  type Machine,
  type MachineExit,
  type MachineLimits,
  type MachineNetwork,
  type MachineRecord,
  type MachineRoot,
  type MachineSpec,
  type MachineUsage,
  type SandboxKind,
  sandboxKinds,
} from "./driver.ts";
export { MachineError, type MachineErrorCode, machineErrorCodes } from "./errors.ts";
export { FirecrackerDriver } from "./firecracker/driver.ts";
export type { FirecrackerDriverOptions, RateLimiters, TokenBucket } from "./firecracker/options.ts";
export { findUnmetFirecrackerRequirement } from "./firecracker/requirements.ts";
export { cleanUpOrphans } from "./host/orphans.ts";
export type { UnmetRequirement } from "./host/unmet-requirement.ts";
export { type Ipv4Network, ipv4Within } from "./ipv4.ts";
export { ProcessDriver } from "./process/driver.ts";
export type { ProcessDriverOptions } from "./process/options.ts";
export { QemuDriver } from "./qemu/driver.ts";
export type { QemuDriverOptions } from "./qemu/options.ts";
export { findUnmetQemuRequirement } from "./qemu/requirements.ts";
export { type BootFilesOptions, type BuiltBootFiles, buildBootFiles } from "./rootfs/boot-files.ts";
export {
  type BootFiles,
  bootFilesBeside,
  bootFilesIn,
  findBootFiles,
  verifyBootFiles,
} from "./rootfs/boot-manifest.ts";
export { buildRootfsDirectory } from "./rootfs/build.ts";
export { packExt4 } from "./rootfs/ext4.ts";
export { imageName, type RootfsImage } from "./rootfs/image-file.ts";
export type { ImageFormat } from "./rootfs/image-format.ts";
export {
  type BaseNotes,
  type Rootfs,
  type RootfsFile,
  type RootfsManifest,
  type RootfsOptions,
  type RootfsScript,
  rootfsPaths,
} from "./rootfs/options.ts";
export { type BootPackages, fetchBootPackages } from "./rootfs/packages.ts";
export { packSquashfs } from "./rootfs/squashfs.ts";
export { type RootfsVerdict, verifyRootfs } from "./rootfs/verify.ts";
export {
  hostNetworks,
  isInside,
  isInsideNetwork,
  isMetadata,
  isOfHost,
  networkToName,
} from "./special-networks.ts";
