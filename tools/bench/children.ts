/** Processes of a benchmark, so that the CPU time of each can be told from the others'. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ticksPerSecond = 100;

/** Starts a script beside this file. The process ends with the stack. */
export function startChild(script: string, stack: AsyncDisposableStack): ChildProcess {
  const child = fork(join(import.meta.dirname, script), {
    execArgv: ["--conditions=nex-src", "--disable-warning=ExperimentalWarning"],
    serialization: "advanced",
  });
  stack.defer(async () => {
    if (child.connected) child.disconnect();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  return child;
}

/** Sends a message and waits for one with a member of that name. */
export async function ask(
  child: ChildProcess,
  message: object | undefined,
  member: string,
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const take = (answer: object): void => {
    if (member in answer) resolve(answer);
  };
  const gone = (): void => reject(new Error("a process of the benchmark has ended"));
  child.on("message", take);
  child.once("exit", gone);
  if (message !== undefined) child.send(message);
  try {
    return await promise;
  } finally {
    child.off("message", take);
    child.off("exit", gone);
  }
}

/** CPU time of processes, in microseconds. */
export function cpuOf(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of new Set(pids)) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
        .replace(/^.*\) /, "")
        .split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It has ended.
    }
  }
  return (ticks * 1e6) / ticksPerSecond;
}
