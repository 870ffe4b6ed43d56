/**
 * The test guest as a program: frames on descriptor 3, calls on descriptor 4, and no dependency. See
 * `guest-commands.ts` for what it is told.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync, readSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { obey } from "./guest-commands.ts";

const framesFd = 3;
const callsFd = 4;

/** A child that nothing polite can end; it says `up` when it no longer listens to signals. */
const stubborn =
  'process.on("SIGTERM", () => {}); process.on("SIGHUP", () => {}); setInterval(() => {}, 1e6); console.log("up");';

/** Starts the stubborn child in a session of its own, says its pid, and ends, so that it is nobody's child. */
const middleman = `
const child = require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(stubborn)}],
  { detached: true, stdio: ["ignore", "pipe", "ignore"] });
child.stdout.once("data", () => process.stdout.write(String(child.pid), () => process.exit(0)));`;

function writeAll(fd: number, bytes: Buffer): void {
  for (let sent = 0; sent < bytes.length; ) sent += writeSync(fd, bytes, sent);
}

/** A blocking call, as the synchronous host services of a workload make it. */
function call(request: Buffer, answerBytes: number): Buffer {
  writeAll(callsFd, request);
  const answer = Buffer.alloc(answerBytes + 1);
  let received = 0;
  // The last byte is the end of the answer, so that an empty one is waited for too.
  while (received < answer.length) {
    const count = readSync(callsFd, answer, received, answer.length - received, null);
    if (count === 0) break;
    received += count;
  }
  return answer.subarray(0, Math.max(received - 1, 0));
}

async function outputOf(child: ChildProcess): Promise<string> {
  if (!child.stdout) return "";
  const [chunk] = await once(child.stdout, "data");
  return String(chunk);
}

function start(script: string): ChildProcess {
  return spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "ignore"] });
}

function describe(): string {
  const fds = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return JSON.stringify({ env: process.env, argv: process.argv, cwd: process.cwd(), fds });
}

function fillConsole(bytes: number): string {
  writeAll(1, Buffer.from(`${"x".repeat(Math.max(bytes - 1, 0))}\n`));
  writeAll(2, Buffer.from("the last line\n"));
  return "filled";
}

function spinSoon(): string {
  setTimeout(() => {
    for (;;);
  }, 0);
  return "spinning";
}

const frames = new Socket({ fd: framesFd, readable: true, writable: true });
frames.on("error", () => undefined);
await obey({
  frames,
  call,
  exit: (code) => process.exit(code),
  deeds: {
    hello: () => process.pid,
    exit: (code) => process.exit(code),
    spin: spinSoon,
    ignore: () => {
      process.on("SIGTERM", () => undefined);
      return "ignoring";
    },
    print: describe,
    console: fillConsole,
    child: async () => {
      const child = start(stubborn);
      await outputOf(child);
      return child.pid;
    },
    daemon: async () => {
      const child = start(middleman);
      const ended = once(child, "exit");
      const pid = await outputOf(child);
      await ended;
      return pid;
    },
  },
});
process.exit(0);
