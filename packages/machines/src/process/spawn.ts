/** Starts the process of a machine, and waits for its exit. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { devNull } from "node:os";
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import type { MachineExit } from "../driver.ts";
import { ConsoleTail } from "../host/console-tail.ts";
import { inheritableDescriptors } from "../host/inherited.ts";
import { settlesWithin } from "../host/wait.ts";

/** The child process of a machine, and this process's ends of its channels. */
export interface Guest {
  child: ChildProcess;
  pid: number;
  console: Readable[];
  /** Descriptor 3 of the guest. */
  frames: Socket;
  /** Descriptor 4 of the guest. */
  calls: Socket;
}

const ownStdio = ["ignore", "pipe", "pipe", "pipe", "pipe"] as const;

/** Starts a program in a new session with an empty environment. Rejects if it can't be started. */
export async function spawnGuest(command: readonly string[], directory: string): Promise<Guest> {
  const [program = "", ...args] = command;
  const child = withCovers((stdio) =>
    spawn(program, args, { cwd: directory, env: {}, detached: true, stdio }),
  );
  const ends = takeEnds(child);
  try {
    await once(child, "spawn");
    return { child, ...describe(child.pid, ends) };
  } catch (error) {
    for (const end of ends) end.destroy();
    throw error;
  }
}

/** Replaces every other descriptor that the guest would inherit with /dev/null. */
function withCovers<Started>(start: (stdio: StdioOptions) => Started): Started {
  const leaking = inheritableDescriptors().filter((fd) => fd >= ownStdio.length);
  if (leaking.length === 0) return start([...ownStdio]);
  const cover = openSync(devNull, "r");
  try {
    const stdio = Array.from({ length: Math.max(...leaking) + 1 }, (_, fd) =>
      leaking.includes(fd) ? cover : (ownStdio[fd] ?? "ignore"),
    );
    return start(stdio);
  } finally {
    closeSync(cover);
  }
}

/**
 * Removes the pipes from the child's stdio list. Node discards unread data of pipes in that list when the child
 * exits.
 */
function takeEnds(child: ChildProcess): Socket[] {
  const pipes = (child.stdio as unknown[]).splice(1);
  return pipes.filter((pipe) => pipe instanceof Socket);
}

function describe(pid: number | undefined, ends: Socket[]): Omit<Guest, "child"> {
  const [stdout, stderr, frames, calls] = ends;
  if (pid === undefined || !stdout || !stderr || !frames || !calls) {
    throw new TypeError("A spawned process has no pipes");
  }
  for (const channel of [frames, calls]) channel.on("error", () => undefined);
  return { pid, console: [stdout, stderr], frames, calls };
}

/** How long the console is read after the guest has exited, in ms. A surviving process may hold it open. */
const consoleGraceMs = 200;

/** Collects a guest's console and resolves with its exit. */
export function watchExit(guest: Guest): Promise<MachineExit> {
  const tail = new ConsoleTail();
  for (const stream of guest.console) tail.follow(stream);
  const consoleEnd = Promise.all(guest.console.map((stream) => finished(stream)));
  consoleEnd.catch(() => undefined);
  const exited = Promise.withResolvers<MachineExit>();
  guest.child.once("exit", async (code, signal) => {
    await settlesWithin(consoleEnd, consoleGraceMs);
    exited.resolve({ ...reasonOf(code, signal), console: tail.text() });
  });
  return exited.promise;
}

function reasonOf(code: number | null, signal: NodeJS.Signals | null): Omit<MachineExit, "console"> {
  if (code !== null) return { reason: "exited", code };
  return { reason: signal === null ? "unknown" : "killed" };
}
