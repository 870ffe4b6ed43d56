/** Opens the agent's end of the two channels, as the boot arguments say. */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { NexError } from "@nexengine/protocol/internal";

/** Process machines hand over both channels as open descriptors. */
const framesFd = 3;

/**
 * Opens the frame channel.
 *
 * @param kind The value of `--channels`: `fd`.
 * @throws NexError `usage`
 */
export function openFrames(kind: string): Duplex {
  if (kind === "fd")
    return new Socket({ fd: framesFd, readable: true, writable: true, allowHalfOpen: false });
  throw new NexError("usage", `Cannot open channels of the kind "${kind}"`);
}
