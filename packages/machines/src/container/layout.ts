/** Paths in a container's directory, and the names of its channels. */
import { join } from "node:path";

/** Paths in a machine's directory. Only `channels` and `hosts` are visible inside the machine, read-only. */
export interface Layout {
  directory: string;
  bundle: string;
  config: string;
  channels: string;
  hosts: string;
  console: string;
  pidFile: string;
  log: string;
}

/** Returns the paths in a machine's directory. */
export function layoutOf(directory: string): Layout {
  const bundle = join(directory, "bundle");
  return {
    directory,
    bundle,
    config: join(bundle, "config.json"),
    channels: join(directory, "channels"),
    hosts: join(directory, "hosts"),
    console: join(directory, "console"),
    pidFile: join(directory, "pid"),
    log: join(directory, "runtime.log"),
  };
}

/** Directory of the channels inside a machine. */
export const guestChannels = "/nex";

/** File names in the channel directory. */
export const channelNames = {
  frames: "frames.sock",
  requests: (epoch: number): string => `req.${epoch}`,
  replies: (epoch: number): string => `rep.${epoch}`,
} as const;

/** Parses the epoch from a FIFO name; `undefined` for other names. */
export function epochOf(name: string): number | undefined {
  const epoch = /^re[qp]\.(\d+)$/.exec(name)?.[1];
  return epoch === undefined ? undefined : Number(epoch);
}
