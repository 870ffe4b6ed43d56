import { once } from "node:events";
import { constants } from "node:fs";
import { open, readFile, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { MachineError } from "../errors.ts";
import { EpochChannel } from "./epoch-channel.ts";
import { epochHeader } from "./epoch-header.ts";
import { layoutOf } from "./layout.ts";

const listenRetryMs = 10;
/** The mark is said again until the guest answers, less and less often: nothing keeps it where no guest is yet. */
const sayAgainFirstMs = 100;
const sayAgainMaxMs = 2_000;

/** Connects to one channel of a machine, however often that takes, until the signal ends it. */
export type ConnectChannel = (name: "frames" | "calls", signal: AbortSignal) => Promise<Socket>;

/** An epoch that is to begin. */
export interface NextEpoch {
  /** Of the machine. */
  directory: string;
  token: string;
  epoch: number;
  signal: AbortSignal;
}

/** Both ends of an epoch on the node's side. */
export interface OpenedChannels {
  frames: EpochChannel;
  calls: EpochChannel;
}

/**
 * Opens the channels of an epoch: connects to both, begins the epoch on both, and waits until the guest has answered.
 *
 * @param answered Whether it has, on the channels where it does so by itself.
 * @returns `undefined` when it has hung up instead.
 * @throws MachineError `attach_failed`
 */
export async function openChannels(
  { directory, token, epoch, signal }: NextEpoch,
  connect: ConnectChannel,
  answered: (channels: OpenedChannels) => Promise<boolean>,
): Promise<OpenedChannels | undefined> {
  await writeFile(layoutOf(directory).epoch, `${epoch}\n`);
  const mark = epochHeader(token, epoch);
  const calls = new EpochChannel(await connect("calls", signal), mark);
  let frames: EpochChannel | undefined;
  let isOpen = false;
  try {
    frames = new EpochChannel(await connect("frames", signal), mark);
    calls.write(mark);
    isOpen = await beginEpoch(frames, answered({ frames, calls }), mark, signal);
    return isOpen ? { frames, calls } : undefined;
  } finally {
    if (!isOpen) {
      frames?.destroy();
      calls.destroy();
    }
  }
}

/** Connects to a socket; a host that has just begun has made it and does not listen yet. */
export async function connectTo(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    const socket = connect({ path, allowHalfOpen: false });
    socket.on("error", () => undefined);
    try {
      await once(socket, "connect", { signal });
      return socket;
    } catch (error) {
      socket.destroy();
      if (signal.aborted) throw attachFailure(signal.reason);
      if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED") throw attachFailure(error);
    }
    await delay(listenRetryMs);
  }
}

/** Lets an action use a directory by a short path, whatever its own is: that of a socket has 107 bytes at most. */
export async function byShortPath<Result>(
  directory: string,
  act: (shortPath: string) => Promise<Result>,
): Promise<Result> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  await using handle = await open(directory, flags);
  return await act(`/proc/self/fd/${handle.fd}`);
}

/** The latest epoch that any node has begun, 0 before the first. */
export async function latestEpoch(directory: string): Promise<number> {
  const text = await readFile(layoutOf(directory).epoch, "utf8").catch(() => "");
  const epoch = Number.parseInt(text, 10);
  return Number.isSafeInteger(epoch) ? epoch : 0;
}

/** Says the mark until the guest has answered. @returns whether it has. */
async function beginEpoch(
  frames: EpochChannel,
  answered: Promise<boolean>,
  mark: Buffer,
  signal: AbortSignal,
): Promise<boolean> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined);
  const aborted = (): void => reject(attachFailure(signal.reason));
  let timer: NodeJS.Timeout | undefined;
  const say = (againMs: number): void => {
    frames.write(mark);
    timer = setTimeout(say, againMs, Math.min(againMs * 2, sayAgainMaxMs));
  };
  signal.addEventListener("abort", aborted, { once: true });
  try {
    if (signal.aborted) aborted();
    else say(sayAgainFirstMs);
    return await Promise.race([answered, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", aborted);
  }
}

/** Why an epoch does not begin. */
export function attachFailure(why: unknown): MachineError {
  const reason = why instanceof Error ? why.message : String(why);
  return new MachineError("attach_failed", `Cannot attach: ${reason}`, { cause: why });
}
