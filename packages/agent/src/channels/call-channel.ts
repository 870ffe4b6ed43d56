/** The channel of blocking calls: what it is to its users, and how it is opened where it is a descriptor or FIFOs. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { NexError } from "@nexengine/protocol/errors";

/** The channel of blocking calls of an epoch. */
export interface CallChannel {
  write(bytes: Buffer): void;
  /** Waits for bytes, and puts them at a place of the buffer. @throws NexError at the end of the channel. */
  readSome(to: Buffer, at: number): number;
  close(): void;
}

/** Opens the channel of blocking calls of an epoch. */
export type OpenCalls = (epoch: number) => CallChannel;

const inheritedFd = 4;

/** The channel that was inherited, which is there for one epoch. */
export const inheritedCalls: OpenCalls = () => callChannelOf(inheritedFd, inheritedFd, () => undefined);

/** A pair of FIFOs for each epoch. */
export function fifoCalls(directory: string): OpenCalls {
  return (epoch) => {
    const [request, reply] = [`${directory}/req.${epoch}`, `${directory}/rep.${epoch}`];
    // Both ends first: a FIFO whose node has just died would not open, for ever.
    const held = [openSync(request, "r+"), openSync(reply, "r+")];
    const replies = openSync(reply, "r");
    const requests = openSync(request, "w");
    for (const fd of held) closeSync(fd);
    return callChannelOf(requests, replies, () => {
      closeSync(requests);
      closeSync(replies);
    });
  };
}

/** A line over descriptors that wait. */
export function callChannelOf(requests: number, replies: number, close: () => void): CallChannel {
  return {
    write: (bytes) => {
      for (let at = 0; at < bytes.length; ) at += writeSync(requests, bytes, at);
    },
    readSome: (to, at) => {
      const count = readSync(replies, to, at, to.length - at, null);
      if (count === 0) throw channelEnded();
      return count;
    },
    close,
  };
}

/** The host has gone. */
export function channelEnded(): NexError {
  return new NexError("agent_protocol", "the channel has ended");
}
