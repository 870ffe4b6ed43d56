import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { devNull } from "node:os";
import type { Readable } from "node:stream";
import { inheritableDescriptors } from "../host/inherited.ts";

/** The child process of a machine, and this process's ends of what it was given. */
export interface Guest {
  child: ChildProcess;
  pid: number;
  console: Readable[];
  /** Its descriptor 3. */
  frames: Socket;
  /** Its descriptor 4. */
  calls: Socket;
}

const ownStdio = ["ignore", "pipe", "pipe", "pipe", "pipe"] as const;

/** Starts a program in a session of its own with an empty environment; rejects when it can't be started. */
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

/** Puts the null device in the place of every descriptor that the guest would inherit beside its own. */
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
 * Takes the pipes out of the child's own list: at its exit, Node would throw away all that is unread in that list.
 */
function takeEnds(child: ChildProcess): Socket[] {
  const pipes = (child.stdio as unknown[]).splice(1);
  return pipes.filter((pipe) => pipe instanceof Socket);
}

function describe(pid: number | undefined, ends: Socket[]): Omit<Guest, "child"> {
  const [stdout, stderr, frames, calls] = ends;
  if (pid === undefined || !stdout || !stderr || !frames || !calls) {
    throw new TypeError("A spawned process lacks its pipes");
  }
  for (const channel of [frames, calls]) channel.on("error", () => undefined);
  return { pid, console: [stdout, stderr], frames, calls };
}
