/** Paths in and around the jail of a machine. */
import { join } from "node:path";

/** Paths of a machine's jail, outside the machine's directory. The machine's user owns it. */
export interface JailLayout {
  /** Directory of the jail, in the directory of all jails. */
  directory: string;
  /** Root directory of the jailed program. */
  root: string;
  /** Pid file written by the jailer. */
  pid: string;
}

/** The jailer names directories after the program, so the name must be constant. */
export const programName = "firecracker";

/** Path of the program under that name. */
export function programPath(stateDirectory: string): string {
  return join(stateDirectory, programName);
}

/** File names passed to Firecracker, relative to the root of its jail. */
export const jailNames = {
  api: "api.sock",
  vsock: "vsock.sock",
  kernel: "kernel",
  initramfs: "initramfs",
  image: "image.ext4",
  config: "config.img",
  metrics: "metrics",
  state: "state",
  memory: "memory",
} as const;

/** Directory with one subdirectory per machine. */
export function jailsDirectory(stateDirectory: string): string {
  return join(stateDirectory, "jails", programName);
}

/** Directory for copies of files from other file systems. */
export function sharedDirectory(stateDirectory: string): string {
  return join(stateDirectory, "shared");
}

/** Returns the paths of a jail. */
export function jailOf(stateDirectory: string, machineId: string): JailLayout {
  const directory = join(jailsDirectory(stateDirectory), machineId);
  const root = join(directory, "root");
  return { directory, root, pid: join(root, `${programName}.pid`) };
}
