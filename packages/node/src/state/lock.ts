/** Keeps a directory for one process, for as long as that process lives. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { link, lstat, open, rename, rm, stat } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/internal";

/** How often a lock is tried to be taken that a dead process has left, while others try the same. */
const triesMax = 20;

/**
 * Locks a directory. The lock is a listening socket, which nobody answers at any more when its process has ended.
 *
 * - A socket in the directory keeps out everybody who can reach the directory, also from another container.
 * - On Linux an abstract socket, named after the directory's device and inode, decides between those of one network
 *   namespace before that: the kernel takes it away with its process, so it is never stale.
 *
 * @throws NexError `state_locked`
 */
export async function lockDirectory(directory: string): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  if (process.platform === "linux") {
    const { dev, ino } = await stat(directory);
    const server = await listen(`\0nex-state-${dev}-${ino}`);
    if (server === undefined) throw locked(directory);
    stack.defer(() => close(server));
  }
  stack.use(await SocketFile.take(directory));
  return stack.move();
}

/** A socket in a directory, under a name that only one can have. */
class SocketFile implements AsyncDisposable {
  readonly #paths: Paths;
  readonly #server: Server;
  readonly #inode: bigint;

  private constructor(paths: Paths, server: Server, inode: bigint) {
    this.#paths = paths;
    this.#server = server;
    this.#inode = inode;
  }

  /** @throws NexError `state_locked` */
  static async take(directory: string): Promise<SocketFile> {
    // By way of a descriptor, since the path of a socket is short: 107 bytes at most.
    await using handle = await open(directory);
    const own = `lock.${randomBytes(6).toString("hex")}`;
    const short = process.platform === "linux" ? `/proc/self/fd/${handle.fd}` : directory;
    const server = await listen(join(short, own));
    if (server === undefined) throw locked(directory);
    const paths = { directory, short, own: join(directory, own), lock: join(directory, "lock") };
    try {
      for (let tries = 0; tries < triesMax; tries++) {
        if (await linkTo(paths)) {
          const { ino } = await lstat(paths.lock, { bigint: true });
          await rm(paths.own, { force: true });
          return new SocketFile(paths, server, ino);
        }
        if (await answers(join(short, "lock"))) break;
        await removeStale(paths);
      }
      throw locked(directory);
    } catch (error) {
      await close(server);
      await rm(paths.own, { force: true });
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const there = await lstat(this.#paths.lock, { bigint: true }).catch(() => undefined);
    if (there?.ino === this.#inode) await rm(this.#paths.lock, { force: true });
    await close(this.#server);
  }
}

/** Where a lock stands, and the socket that is to become it. */
interface Paths {
  directory: string;
  /** A short name of the directory. */
  short: string;
  own: string;
  lock: string;
}

/** @returns false when somebody has the lock. */
async function linkTo({ own, lock }: Paths): Promise<boolean> {
  try {
    await link(own, lock);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Moves a dead process's lock aside. One that somebody has taken in between goes back to where it was. */
async function removeStale({ own, lock, short, directory }: Paths): Promise<void> {
  const aside = `${own}.stale`;
  try {
    await rename(lock, aside);
  } catch {
    // Another one was quicker.
    return;
  }
  if (await answers(join(short, aside.slice(directory.length + 1))))
    await link(aside, lock).catch(() => undefined);
  await rm(aside, { force: true });
}

/** @returns `undefined` when somebody listens there, or a file of the name is there. */
async function listen(path: string): Promise<Server | undefined> {
  // Whoever connects has no business here, and does no harm.
  const server = createServer((socket) => socket.destroy());
  server.listen({ path });
  try {
    await once(server, "listening");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return undefined;
    throw error;
  }
  server.on("error", () => undefined).unref();
  return server;
}

async function close(server: Server): Promise<void> {
  server.close();
  await once(server, "close");
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
