import { join } from "node:path";

/** Where things are in the directory of a machine, none of which can be seen from inside. */
export interface Layout {
  directory: string;
  /** The second disk. */
  config: string;
  /** The latest epoch that has begun. */
  epoch: string;
  /** FIFOs: what the machine is told, and what it and QEMU write. */
  controlIn: string;
  controlOut: string;
}

/** Names the places in a machine's directory. */
export function layoutOf(directory: string): Layout {
  return {
    directory,
    config: join(directory, "config.img"),
    epoch: join(directory, "epoch"),
    controlIn: join(directory, `${names.control}.in`),
    controlOut: join(directory, `${names.control}.out`),
  };
}

/** The names that QEMU is told. It runs in the directory, so that a long path does no harm. */
export const names = {
  frames: "frames.sock",
  calls: "calls.sock",
  control: "control",
  config: "config.img",
} as const;

/** The directory in which a machine finds its channels. */
export const guestChannels = "/nex";
