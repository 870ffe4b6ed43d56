/**
 * The wider door, for tests of the project itself: the contract of drivers, the mock driver, and the network lab. It
 * imports neither node nor client, because tests of drivers also run in emulated hosts, where each import is slow.
 *
 * @module
 */
export {
  driverModule as containerDriverModule,
  makeDriver as makeContainerDriver,
  orphansOf as orphansOfContainer,
  prepareContainers,
} from "./drivers/container.ts";
export type { DriverAbilities } from "./drivers/contract/abilities.ts";
export { driverContract } from "./drivers/contract/contract.ts";
export { eventually, rejectsWith, within } from "./drivers/contract/expect.ts";
export { countDescriptors, processesOf } from "./drivers/contract/host-processes.ts";
export { makeSpec } from "./drivers/contract/spec.ts";
export { actMs, TestMachine } from "./drivers/contract/test-machine.ts";
export {
  contractDirectoryVariable,
  contractOptions,
  driverModule as firecrackerDriverModule,
  makeDriver as makeFirecrackerDriver,
  orphansOf as orphansOfFirecracker,
} from "./drivers/firecracker.ts";
export { buildContractTree, microVmAbilities } from "./drivers/microvm.ts";
export { MockDriver, type MockDriverOptions } from "./drivers/mock/driver.ts";
export { MockGuest } from "./drivers/mock/guest.ts";
export { MockMachine } from "./drivers/mock/machine.ts";
export type { MockBoot, MockScript } from "./drivers/mock/script.ts";
export {
  driverModule as processDriverModule,
  makeDriver as makeProcessDriver,
} from "./drivers/process.ts";
export {
  driverModule as qemuDriverModule,
  makeDriver as makeQemuDriver,
  prepareQemu,
  qemuAbilities,
} from "./drivers/qemu.ts";
export { type EmulatedRun, runInEmulatedHost } from "./emulated-host/emulated-host.ts";
export {
  type FirecrackerPlace,
  prepareFirecrackerPlace,
  scriptInFirecrackerPlace,
} from "./emulated-host/firecracker-place.ts";
export { prepareContainerLab } from "./network-lab/container-lab.ts";
export { egressCases } from "./network-lab/egress-cases.ts";
export { type LabNode, places } from "./network-lab/lab.ts";
export {
  both,
  inWorld,
  type LabMachine,
  otherPort,
  port,
  SharedLab,
  target,
  tcp,
  udp,
} from "./network-lab/shared-lab.ts";
