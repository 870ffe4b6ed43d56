/**
 * The wider door, for tests of the project itself.
 *
 * @module
 */
export { type EmulatedRun, runInEmulatedHost } from "./emulated-host/emulated-host.ts";
export {
  type FirecrackerPlace,
  prepareFirecrackerPlace,
  scriptInFirecrackerPlace,
} from "./emulated-host/firecracker-place.ts";
