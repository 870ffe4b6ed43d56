/** Locks a directory for the life of this process. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { link, lstat, readdir, rename, rm, stat } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/errors";
import { openShortPath } from "./short-path.ts";

/** Maximum number of tries to take a stale lock that others try to take too. */
const triesMax = 20;
/** Names of sockets of processes that take the lock, and of stale locks that they have moved aside. */
const ownPattern = /^lock\.[0-9a-f]{12}(\.stale)?$/;

/**
 * Locks a directory. The lock is a listening socket: nobody answers on it when its process has exited.
 *
 * - A socket in the directory holds against everybody who can reach the directory, also from another container.
 * - On Linux, an abstract socket named after device and inode decides first, within one network namespace. The kernel
 *   removes it with its process, so it is never stale.
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

/** A socket in a directory, under a name that only one process can have. */
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
    await using opened = await openShortPath(directory);
    const short = opened.path;
    const own = `lock.${randomBytes(6).toString("hex")}`;
    const server = await listen(join(short, own));
    if (server === undefined) throw locked(directory);
    const paths = { directory, short, own: join(directory, own), lock: join(directory, "lock") };
    try {
      for (let tries = 0; tries < triesMax; tries++) {
        if (await linkTo(paths)) {
          const { ino } = await lstat(paths.lock, { bigint: true });
          await rm(paths.own, { force: true });
          await removeDead(paths);
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

/** Paths of a lock and of this process's own socket. */
interface Paths {
  directory: string;
  /** Short path of the directory. */
  short: string;
  own: string;
  lock: string;
}

/** @returns false when another process has the lock. */
async function linkTo({ own, lock }: Paths): Promise<boolean> {
  try {
    await link(own, lock);
    return true;
  } catch (error) {
    // Whoever took the lock in this moment may have removed our socket, on which it heard no answer yet.
    if (error instanceof Error && "code" in error && /^(EEXIST|ENOENT)$/.test(String(error.code)))
      return false;
    throw error;
  }
}

/** Removes sockets of processes that died while they took the lock. */
async function removeDead({ directory, short }: Paths): Promise<void> {
  for (const name of await readdir(directory)) {
    if (ownPattern.test(name) && !(await answers(join(short, name))))
      await rm(join(directory, name), { force: true });
  }
}

/** Moves a stale lock aside. A lock that somebody has taken in between is put back. */
async function removeStale({ own, lock, short, directory }: Paths): Promise<void> {
  const aside = `${own}.stale`;
  try {
    await rename(lock, aside);
  } catch {
    // Another process was quicker.
    return;
  }
  if (await answers(join(short, aside.slice(directory.length + 1))))
    await link(aside, lock).catch(() => undefined);
  await rm(aside, { force: true });
}

/** @returns `undefined` when the address is in use. */
async function listen(path: string): Promise<Server | undefined> {
  // Connections are closed at once.
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
