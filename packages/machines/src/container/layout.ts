import { join } from "node:path";

/** Where things are in the directory of a machine. Only `channels` and `hosts` can be seen from inside, and only read. */
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

/** Names the places in a machine's directory. */
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

/** The directory in which a machine finds its channels. */
export const guestChannels = "/nex";

/** The names in the channels' directory. */
export const channelNames = {
  frames: "frames.sock",
  requests: (epoch: number): string => `req.${epoch}`,
  replies: (epoch: number): string => `rep.${epoch}`,
} as const;

/** The epoch of a FIFO's name, `undefined` for other names. */
export function epochOf(name: string): number | undefined {
  const epoch = /^re[qp]\.(\d+)$/.exec(name)?.[1];
  return epoch === undefined ? undefined : Number(epoch);
}
