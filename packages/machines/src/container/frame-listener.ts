import { chmod, rename, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { MachineError } from "../errors.ts";

/**
 * Waits for the one connection of a guest to a socket, on a path that is short enough for the kernel. The socket gets
 * its name when it is ready, and in place of one that another node has left.
 *
 * @param directory A path through a descriptor, which stays open until this has settled.
 * @throws MachineError `attach_failed` when the signal comes first; its reason is the message.
 */
export async function acceptOne(directory: string, name: string, signal: AbortSignal): Promise<Socket> {
  const server = createServer();
  const accepted = Promise.withResolvers<Socket>();
  accepted.promise.catch(() => undefined);
  const giveUp = (): void =>
    accepted.reject(new MachineError("attach_failed", `Cannot attach: ${String(signal.reason)}`));
  server.on("connection", (socket) => {
    socket.on("error", () => undefined);
    accepted.resolve(socket);
    // Only the first is taken, though several may have come in the same turn.
    accepted.promise.then((first) => first !== socket && socket.destroy()).catch(() => socket.destroy());
  });
  server.once("error", accepted.reject);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    if (signal.aborted) giveUp();
    else await listen(server, directory, name);
    return await accepted.promise;
  } finally {
    signal.removeEventListener("abort", giveUp);
    // The accepted connection lives on, and waiting for the close would wait for it.
    if (server.listening) server.close();
  }
}

async function listen(server: Server, directory: string, name: string): Promise<void> {
  // Closing a server removes the path that it was made with, which must not be the one of a later server.
  const early = `${directory}/.${name}`;
  // A node that was killed right here has left one.
  await rm(early, { force: true });
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  server.listen(early, () => listening.resolve());
  await listening.promise;
  await chmod(early, 0o666);
  await rename(early, `${directory}/${name}`);
}
