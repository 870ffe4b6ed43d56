/** Actions of the test guest outside its channels. Each action returns its answer. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readlinkSync, readSync, unlinkSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { networkActions } from "./guest-network.ts";
import { writeAll } from "./write-all.ts";

/** A child that ignores SIGTERM and SIGHUP. It prints `up` once it ignores them. */
const stubborn =
  'process.on("SIGTERM", () => {}); process.on("SIGHUP", () => {}); setInterval(() => {}, 1e6); console.log("up");';

/** Starts the stubborn child in a new session, prints its pid and exits, which makes the child an orphan. */
const middleman = `
const child = require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(stubborn)}],
  { detached: true, stdio: ["ignore", "pipe", "ignore"] });
child.stdout.once("data", () => process.stdout.write(String(child.pid), () => process.exit(0)));`;

const chunk = Buffer.alloc(1_048_576, 1);

/** Actions by their names in a command. */
export const actions: Record<string, (argument: number, text: string) => unknown> = {
  ...Object.fromEntries(
    Object.entries(networkActions).map(([name, action]) => [name, (_, text) => action(text)]),
  ),
  hello: () => process.pid,
  read: async (_, path) => JSON.stringify(await readFile(path, "utf8")),
  exit: (code) => process.exit(code),
  spin: spinSoon,
  ignore: () => {
    process.removeAllListeners("SIGTERM");
    process.on("SIGTERM", () => undefined);
    return "ignoring";
  },
  print: describe,
  console: fillConsole,
  random: drawRandom,
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
  hog: hogSoon,
  fork: forkMany,
  fill: fillDisk,
};

async function outputOf(child: ChildProcess): Promise<string> {
  if (!child.stdout) return "";
  const [output] = await once(child.stdout, "data");
  return String(output);
}

function start(script: string): ChildProcess {
  return spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "ignore"] });
}

/** Returns random bytes from the guest's kernel, and its time. */
function drawRandom(): string {
  const bytes = Buffer.alloc(16);
  const fd = openSync("/dev/urandom", "r");
  readSync(fd, bytes);
  closeSync(fd);
  return `${bytes.toString("hex")} ${Date.now()}`;
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

/** Allocates memory until none is left. */
function hogSoon(): string {
  const taken: Buffer[] = [];
  setInterval(() => taken.push(Buffer.from(chunk)), 0);
  return "hogging";
}

/** Starts `count` idle children. @returns how many could be started. */
async function forkMany(count: number): Promise<number> {
  const outcomes = Array.from({ length: count }, async () => {
    const child = start("setInterval(() => {}, 1e6)");
    return await Promise.race([
      once(child, "spawn").then(
        () => true,
        () => false,
      ),
      once(child, "error").then(() => false),
    ]);
  });
  return (await Promise.all(outcomes)).filter(Boolean).length;
}

/** Writes up to `bytesMax` bytes to files in the working directory and `/tmp`. @returns how many were written. */
function fillDisk(bytesMax: number): number {
  let written = 0;
  for (const path of ["./full", "/tmp/full"]) {
    const fd = openSync(path, "w");
    try {
      while (written < bytesMax) written += writeSync(fd, chunk);
    } catch {
      // The disk is full.
    }
    closeSync(fd);
  }
  for (const path of ["./full", "/tmp/full"]) unlinkSync(path);
  return written;
}
