/** The tree of a base while it is read, and limits of what is read. */
import { MachineError } from "../../errors.ts";
import { FileTree } from "../file-tree.ts";

/** The base that a rootfs is built on. */
export interface Base {
  tree: FileTree;
  /** Devices, pipes and sockets, which are omitted from the tree. */
  special: string[];
  /** Total size of its files, or of its unpacked archives, in bytes. */
  bytes: number;
}

/** Creates an empty base. */
export function emptyBase(title: string): Base {
  return { tree: new FileTree(title), special: [], bytes: 0 };
}

/** Permission bits of entries that all users may read, enter or run. */
export const othersRead = 0o004;
export const othersEnter = 0o005;
export const anyExecute = 0o111;

/** Maximum total size of a base's files, and of one unpacked layer, in bytes. */
const baseBytesMax = 8_589_934_592;

/** @throws MachineError `rootfs_failed` if the base is too large. */
export function demandBytes(bytes: number, path: string): void {
  if (bytes <= baseBytesMax) return;
  throw new MachineError(
    "rootfs_failed",
    `Cannot use the base "${path}": it holds more than ${baseBytesMax} bytes`,
  );
}
