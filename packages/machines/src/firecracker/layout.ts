import { join } from "node:path";

/** Where things of a machine are, beside its directory: its jail, which the machine's user owns. */
export interface JailLayout {
  /** The directory of the jail, in that of all jails. */
  directory: string;
  /** What the program sees as `/`. */
  root: string;
  /** Where the jailer notes the process. */
  pid: string;
}

/** The jailer names directories by the program that it starts, so it is always called the same. */
export const programName = "firecracker";

/** The program under the name by which the jailer calls directories. */
export function programPath(stateDirectory: string): string {
  return join(stateDirectory, programName);
}

/** The names that Firecracker is told, below the root of its jail. */
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

/** The directory whose members are the machines of a driver. */
export function jailsDirectory(stateDirectory: string): string {
  return join(stateDirectory, "jails", programName);
}

/** Where files of other file systems have copies. */
export function sharedDirectory(stateDirectory: string): string {
  return join(stateDirectory, "shared");
}

/** Names the places of a jail. */
export function jailOf(stateDirectory: string, machineId: string): JailLayout {
  const directory = join(jailsDirectory(stateDirectory), machineId);
  const root = join(directory, "root");
  return { directory, root, pid: join(root, `${programName}.pid`) };
}
