import { MachineError } from "../../errors.ts";
import { FileTree } from "../file-tree.ts";

/** What a rootfs is built over. */
export interface Base {
  tree: FileTree;
  /** Devices, pipes and sockets, which are not in the tree. */
  special: string[];
  /** What its files, or its archives when unpacked, hold together. */
  bytes: number;
}

/** One that holds nothing yet. */
export function emptyBase(title: string): Base {
  return { tree: new FileTree(title), special: [], bytes: 0 };
}

/** Permissions that say what of a base everybody may read, enter or run. */
export const othersRead = 0o004;
export const othersEnter = 0o005;
export const anyExecute = 0o111;

/** The most that the files of a base may hold together, and a layer of one when unpacked. */
export const baseBytesMax = 8_589_934_592;

/** @throws MachineError `rootfs_failed` when a base is larger than any may be. */
export function demandBytes(bytes: number, path: string): void {
  if (bytes <= baseBytesMax) return;
  throw new MachineError(
    "rootfs_failed",
    `Cannot use the base "${path}": it holds more than ${baseBytesMax} bytes`,
  );
}
