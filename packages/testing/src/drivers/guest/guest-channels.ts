/**
 * Opens the channels of the test guest as its arguments say. By default, frames are descriptor 3 and calls descriptor
 * 4. With `--channels=connect:<directory>` it connects to a socket, reconnects after each disconnect, and opens the
 * FIFOs of the given epoch. For `--channels=port:<directory>` see `guest-ports.ts`; for
 * `--channels=sockets:<directory>` see `guest-sockets.ts`. A real agent does the same.
 */
import { once } from "node:events";
import { closeSync, openSync, readSync } from "node:fs";
import { connect, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { GuestChannels } from "./guest-marks.ts";
import { portSessions } from "./guest-ports.ts";
import { socketSessions } from "./guest-sockets.ts";
import { writeAll } from "./write-all.ts";

interface CallEnds {
  requests: number;
  replies: number;
}

const framesFd = 3;
const callsFd = 4;
const retryMs = 10;

/** Yields one session after another until the node is lost. */
export async function* guestSessions(): AsyncGenerator<GuestChannels> {
  const [, form, directory] =
    /^--channels=(connect|port|sockets):(.*)$/.exec(process.argv.at(-1) ?? "") ?? [];
  if (form === "port" && directory !== undefined) {
    yield* portSessions(directory, nodeLostTimeoutMs());
    return;
  }
  if (form === "sockets" && directory !== undefined) {
    yield* socketSessions(directory, nodeLostTimeoutMs());
    return;
  }
  if (directory === undefined) {
    const frames = new Socket({ fd: framesFd, readable: true, writable: true });
    yield channels(frames, () => ({ requests: callsFd, replies: callsFd }));
    return;
  }
  for (let frames = await connectTo(directory); frames; frames = await connectTo(directory)) {
    const opened: number[] = [];
    yield channels(frames, (epoch) => {
      const ends = openCalls(directory, epoch);
      opened.push(ends.requests, ends.replies);
      return ends;
    });
    frames.destroy();
    for (const fd of opened) closeSync(fd);
  }
}

function nodeLostTimeoutMs(): number {
  return Number(process.env["NEX_NODE_LOST_TIMEOUT_MS"] ?? 0);
}

/** Retries until the node listens or the timeout for a lost node expires. */
async function connectTo(directory: string): Promise<Socket | undefined> {
  const deadline = performance.now() + nodeLostTimeoutMs();
  for (;;) {
    const socket = connect(`${directory}/frames.sock`);
    try {
      await once(socket, "connect");
      return socket;
    } catch {
      if (performance.now() > deadline) return undefined;
      await delay(retryMs);
    }
  }
}

/** Opening both ways first never blocks. Keeping one direction only makes the channel end with the node. */
function openCalls(directory: string, epoch: number): CallEnds {
  const request = `${directory}/req.${epoch}`;
  const reply = `${directory}/rep.${epoch}`;
  const first = [openSync(request, "r+"), openSync(reply, "r+")];
  const ends = { replies: openSync(reply, "r"), requests: openSync(request, "w") };
  for (const fd of first) closeSync(fd);
  return ends;
}

function channels(frames: Socket, open: (epoch: number) => CallEnds): GuestChannels {
  frames.on("error", () => undefined);
  let ends: CallEnds | undefined;
  return {
    frames,
    attach: (epoch) => {
      ends = open(epoch);
    },
    call: (request, answerBytes) => (ends ? call(ends, request, answerBytes) : Buffer.alloc(0)),
  };
}

/** Makes a blocking call, like a workload's synchronous host services. */
function call({ requests, replies }: CallEnds, request: Buffer, answerBytes: number): Buffer {
  const answer = Buffer.alloc(answerBytes + 1);
  let received = 0;
  try {
    writeAll(requests, request);
    // The last byte marks the end of the answer, so that an empty answer is waited for too.
    while (received < answer.length) {
      const count = readSync(replies, answer, received, answer.length - received, null);
      if (count === 0) break;
      received += count;
    }
  } catch {
    // The node is gone.
  }
  return answer.subarray(0, Math.max(received - 1, 0));
}
