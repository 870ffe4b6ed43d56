/** Opens the two channels of a microVM for each epoch. */
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
/** The epoch header is repeated until the guest answers, at growing intervals. A port without a reader loses it. */
const sayAgainFirstMs = 100;
const sayAgainMaxMs = 2_000;

/** Connects to one channel of a machine. Retries until the signal aborts. */
export type ConnectChannel = (name: "frames" | "calls", signal: AbortSignal) => Promise<Socket>;

/** The epoch to start. */
export interface NextEpoch {
  /** Directory of the machine. */
  directory: string;
  token: string;
  epoch: number;
  signal: AbortSignal;
}

/** The node's ends of both channels. */
export interface OpenedChannels {
  frames: EpochChannel;
  calls: EpochChannel;
}

/**
 * Connects to both channels, starts the epoch on both, and waits for the guest's answer.
 *
 * @param answered Resolves with whether the guest answered, for the channels that report it.
 * @returns `undefined` if the guest hung up.
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

/** Connects to a socket. Retries, because a new monitor creates the socket before it listens. */
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

/** Gives an action a short path to a directory. Socket paths are limited to 107 bytes. */
export async function byShortPath<Result>(
  directory: string,
  act: (shortPath: string) => Promise<Result>,
): Promise<Result> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  await using handle = await open(directory, flags);
  return await act(`/proc/self/fd/${handle.fd}`);
}

/** Returns the latest epoch that any node has started; 0 before the first. */
export async function latestEpoch(directory: string): Promise<number> {
  const text = await readFile(layoutOf(directory).epoch, "utf8").catch(() => "");
  const epoch = Number.parseInt(text, 10);
  return Number.isSafeInteger(epoch) ? epoch : 0;
}

/** Repeats the epoch header until the guest answers. @returns whether it answered. */
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

/** Creates the error for an epoch that can't start. */
export function attachFailure(why: unknown): MachineError {
  const reason = why instanceof Error ? why.message : String(why);
  return new MachineError("attach_failed", `Cannot attach: ${reason}`, { cause: why });
}
