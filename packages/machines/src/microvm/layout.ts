/** Paths in a microVM's directory, and the names of its channels. */
import { join } from "node:path";

/** Paths in a machine's directory. None is visible inside the machine. */
export interface Layout {
  directory: string;
  /** File with the latest started epoch. */
  epoch: string;
  /** FIFOs: input for the machine's init, and output of the machine and its monitor. */
  controlIn: string;
  controlOut: string;
}

/** Returns the paths in a machine's directory. */
export function layoutOf(directory: string): Layout {
  return {
    directory,
    epoch: join(directory, "epoch"),
    controlIn: join(directory, `${controlName}.in`),
    controlOut: join(directory, `${controlName}.out`),
  };
}

/** Base name of the control FIFOs, shared by QEMU and the layout. */
export const controlName = "control";

/** Directory of the channels inside a machine. */
export const guestChannels = "/nex";
