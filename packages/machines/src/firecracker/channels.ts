/** Opens the channels of an epoch over vsock. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { EpochChannels } from "../host/attachments.ts";
import { attachFailure, byShortPath, type NextEpoch, openChannels } from "../microvm/attachment.ts";
import { guestPorts } from "../rootfs/guest-programs.ts";
import { jailNames } from "./layout.ts";

const retryMs = 10;
/** Maximum retry interval for a guest that keeps hanging up, in ms. */
const retryMaxMs = 1_000;
const answerForm = /^OK \d+\n$/;
const answerBytesMax = 32;

/**
 * Opens the channels of an epoch over Firecracker's vsock socket. A resumed copy's kernel resets all connections,
 * including very recent ones. Both are therefore reopened until the guest has answered on both.
 *
 * @param root Root of the machine's jail.
 * @throws MachineError `attach_failed`
 */
export async function openVsockChannels(root: string, next: NextEpoch): Promise<EpochChannels> {
  return await byShortPath(root, async (here) => {
    for (let againMs = retryMs; ; againMs = Math.min(againMs * 2, retryMaxMs)) {
      const channels = await openChannels(
        next,
        (name, signal) => connectToPort(`${here}/${jailNames.vsock}`, guestPorts[name], signal),
        async ({ frames, calls }) => (await frames.begun) && (await calls.begun),
      );
      if (channels !== undefined) return channels;
      await delay(againMs);
    }
  });
}

/** Firecracker closes the connection silently until the guest listens. */
async function connectToPort(path: string, port: number, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    const socket = connect({ path, allowHalfOpen: false });
    socket.on("error", () => undefined);
    try {
      await once(socket, "connect", { signal });
      socket.write(`CONNECT ${port}\n`);
      if (await isAccepted(socket, signal)) return socket;
    } catch (error) {
      socket.destroy();
      if (signal.aborted) throw attachFailure(signal.reason);
      const { code = "" } = error as NodeJS.ErrnoException;
      if (!["ECONNREFUSED", "ENOENT", "ECONNRESET"].includes(code)) throw attachFailure(error);
    }
    socket.destroy();
    await delay(retryMs);
  }
}

/** Reads Firecracker's acceptance line, and not a byte more. */
async function isAccepted(socket: Socket, signal: AbortSignal): Promise<boolean> {
  let line = "";
  while (!line.endsWith("\n")) {
    const byte = socket.read(1) as Buffer | null;
    if (byte !== null) line += byte.toString("latin1");
    else if (socket.readableEnded || socket.destroyed || line.length > answerBytesMax) return false;
    else await moreOrEnd(socket, signal);
  }
  return answerForm.test(line);
}

async function moreOrEnd(socket: Socket, signal: AbortSignal): Promise<void> {
  const settled = new AbortController();
  const options = { signal: AbortSignal.any([signal, settled.signal]) };
  try {
    await Promise.race(["readable", "end", "close"].map((event) => once(socket, event, options)));
  } finally {
    settled.abort();
  }
}
