/** Keeps a directory for one process, for as long as that process lives. */
import { once } from "node:events";
import { rm, stat } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/internal";

/**
 * Locks a directory. The lock is a listening socket, which the kernel takes away with its process: on Linux an
 * abstract one named after the directory's device and inode, elsewhere a file in it.
 *
 * @throws NexError `state_locked`
 */
export async function lockDirectory(directory: string): Promise<AsyncDisposable> {
  const address = await addressOf(directory);
  const server = createServer((socket) => socket.destroy());
  if (!(await listens(server, address))) {
    if (address.startsWith("\0") || (await answers(address))) throw locked(directory);
    await rm(address, { force: true });
    if (!(await listens(server, address))) throw locked(directory);
  }
  // Whoever connects has no business here, and does no harm.
  server.on("error", () => undefined).unref();
  return {
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

async function addressOf(directory: string): Promise<string> {
  if (process.platform !== "linux") return join(directory, "lock");
  const { dev, ino } = await stat(directory);
  return `\0nex-state-${dev}-${ino}`;
}

async function listens(server: Server, path: string): Promise<boolean> {
  server.listen({ path });
  try {
    await once(server, "listening");
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return false;
    throw error;
  }
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

function locked(directory: string): NexError {
  return new NexError("state_locked", `Cannot use the state directory "${directory}": another node uses it`, {
    advice: "Stop that node, or name another directory with: --state-directory DIR",
  });
}
