import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const endPollMs = 100;

/** A process that a test run has left behind. */
export interface Orphan {
  pid: number;
  command: string;
}

/** How to know the processes of one run. */
export interface RunMark {
  /** `NAME=value`, in the environment of all that inherit it. */
  environment: string;
  /** The temporary directory of the run, for those that are given an environment of their own. */
  directory: string;
}

/** Waits at most `waitMs` for the processes of a run to end. @returns those that have not. */
export async function orphans(mark: RunMark, waitMs: number): Promise<Orphan[]> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const found = await processesOf(mark);
    if (found.length === 0 || Date.now() > deadline) return found;
    await delay(endPollMs);
  }
}

/** None where there is no `/proc`. */
async function processesOf(mark: RunMark): Promise<Orphan[]> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.filter((pid) => pid !== process.pid).map((pid) => ofRun(pid, mark)));
  return found.filter((orphan) => orphan !== undefined);
}

async function ofRun(pid: number, { environment, directory }: RunMark): Promise<Orphan | undefined> {
  const [environ, cmdline, cwd, mounts] = await Promise.all([
    readFile(`/proc/${pid}/environ`, "utf8").catch(() => ""),
    readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
    readlink(`/proc/${pid}/cwd`).catch(() => ""),
    readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => ""),
  ]);
  // One that has ended and waits to be reaped has none.
  if (cmdline === "") return undefined;
  const within = (path: string) => path === directory || path.startsWith(`${directory}/`);
  const marked = environ.split("\0").includes(environment);
  // A container has a part of the directory mounted, by its path on its own file system.
  const mounted = mounts.includes(`/${basename(directory)}/`);
  if (!marked && !mounted && !cmdline.includes(`${directory}/`) && !within(cwd)) return undefined;
  return { pid, command: cmdline.replaceAll("\0", " ").trim() };
}
