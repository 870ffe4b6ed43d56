/** Opens the two channels of a container for each epoch: a socket for frames, and FIFOs for calls. */
import { closeSync, constants } from "node:fs";
import { type FileHandle, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { EpochChannels } from "../host/attachments.ts";
import { makeFifos, openFifo } from "../host/fifo.ts";
import { CallChannel } from "./call-channel.ts";
import { acceptOne } from "./frame-listener.ts";
import { channelNames, epochOf } from "./layout.ts";

/** The channels of one epoch. */
export interface ContainerChannels extends EpochChannels {
  calls: CallChannel;
}

/**
 * Opens the channels of an epoch in a directory that the guest can only read. Creates the FIFOs first, then the
 * socket that the guest connects to, then removes the FIFOs of previous epochs. Accesses the directory through a
 * descriptor, so that long paths work.
 *
 * @throws MachineError `attach_failed`
 */
export async function openChannels(
  directory: string,
  epoch: number,
  signal: AbortSignal,
): Promise<ContainerChannels> {
  const names = [channelNames.requests(epoch), channelNames.replies(epoch)];
  await makeFifos(
    names.map((name) => join(directory, name)),
    0o666,
  );
  await using handle = await openDirectory(directory);
  const here = `/proc/self/fd/${handle.fd}`;
  const calls = openCalls(here, names);
  try {
    const frames = await acceptOne(here, channelNames.frames, signal);
    await removePrevious(directory, epoch);
    return { frames, calls, hangUp: () => calls.hangUp() };
  } catch (error) {
    calls.destroy();
    throw error;
  }
}

/** Returns the latest epoch that any node has started in this directory; 0 before the first. */
export async function latestEpoch(directory: string): Promise<number> {
  const epochs = (await readdir(directory)).map((name) => epochOf(name) ?? 0);
  return Math.max(0, ...epochs);
}

async function openDirectory(path: string): Promise<FileHandle> {
  return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

function openCalls(directory: string, [requests = "", replies = ""]: string[]): CallChannel {
  const requestsFd = openFifo(`${directory}/${requests}`, "read");
  try {
    return new CallChannel(requestsFd, openFifo(`${directory}/${replies}`, "write"));
  } catch (error) {
    closeSync(requestsFd);
    throw error;
  }
}

async function removePrevious(directory: string, epoch: number): Promise<void> {
  for (const name of await readdir(directory)) {
    if ((epochOf(name) ?? epoch) < epoch) await rm(join(directory, name), { force: true });
  }
}
