import { join } from "node:path";

/** Where things are in the directory of a machine, none of which can be seen from inside. */
export interface Layout {
  directory: string;
  /** The latest epoch that has begun. */
  epoch: string;
  /** FIFOs: what the machine is told, and what it and its virtual machine monitor write. */
  controlIn: string;
  controlOut: string;
}

/** Names the places in a machine's directory. */
export function layoutOf(directory: string): Layout {
  return {
    directory,
    epoch: join(directory, "epoch"),
    controlIn: join(directory, `${controlName}.in`),
    controlOut: join(directory, `${controlName}.out`),
  };
}

/** The name of the FIFOs, as both QEMU and the layout have it. */
export const controlName = "control";

/** The directory in which a machine finds its channels. */
export const guestChannels = "/nex";
