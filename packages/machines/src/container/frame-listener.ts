/** The socket on which a container's agent connects for its frames. */
import { chmod, rename, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { MachineError } from "../errors.ts";

/**
 * Accepts one connection of a guest on a socket with a path short enough for the kernel. The socket is renamed into
 * place once it listens, which replaces a socket left by another node.
 *
 * @param directory A path through a descriptor. The descriptor must stay open until the promise settles.
 * @throws MachineError `attach_failed` if the signal aborts; its reason is the message.
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
    // Only the first connection is used, though several may arrive in the same turn.
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
    // Waiting for the server's close event would wait for the accepted connection.
    if (server.listening) server.close();
  }
}

async function listen(server: Server, directory: string, name: string): Promise<void> {
  // Closing a server unlinks the path it was created with, so that path must differ from a later server's.
  const early = `${directory}/.${name}`;
  // A node killed at this point leaves the file behind.
  await rm(early, { force: true });
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  server.listen(early, () => listening.resolve());
  await listening.promise;
  await chmod(early, 0o666);
  await rename(early, `${directory}/${name}`);
}
