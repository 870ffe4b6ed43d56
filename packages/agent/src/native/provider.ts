/** Services: a static executable as a child process of the agent, in a process group of its own. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { Deploy, Exited } from "@nexengine/protocol/agent";
import { NexError } from "@nexengine/protocol/errors";
import { LineSplitter } from "../line-splitter.ts";
import { LogLevel, type Provider, type ProviderHost, type RunningWorkload } from "../provider.ts";
import { Survivor } from "./survivor.ts";

/** How long output may still come after the process has ended; a process in another group may hold its pipes open. */
const outputAfterExitMs = 250;
/** How long a killed process may take to be gone. */
const killWaitMs = 2_000;

/** How services are started. */
export interface NativeOptions {
  /** The agent may be killed without its machine: its service is ended then by a process that is left. */
  survivor: boolean;
}

/** Starts artifacts as services. */
export function nativeProvider(options: NativeOptions): Provider {
  return { start: (deploy, artifact, host) => startNative(deploy, artifact, host, options) };
}

async function startNative(
  deploy: Deploy,
  artifact: string,
  host: ProviderHost,
  options: NativeOptions,
): Promise<RunningWorkload> {
  // Functions never need it, and each of their many agents would hold its memory.
  const { spawn } = await import("node:child_process");
  const child = spawn(artifact, deploy.argv, {
    argv0: deploy.name,
    env: nativeEnvironment(deploy.environment),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const ended = exitOf(child);
  await spawned(child);
  const survivor = options.survivor && child.pid !== undefined ? new Survivor(child.pid, spawn) : undefined;
  const output = Promise.all([
    relay(child.stdout, LogLevel.info, host),
    relay(child.stderr, LogLevel.error, host),
  ]);
  let stopping = false;
  const finished = (async (): Promise<Exited> => {
    const exit = await ended;
    survivor?.dismiss();
    // First, because a process that is left holds the pipes of the output open.
    killGroup(child.pid);
    await within(output, outputAfterExitMs);
    if (!stopping) host.exited(exit);
    return exit;
  })();
  return {
    async stop(graceMs) {
      stopping = true;
      child.kill("SIGINT");
      if (!(await within(ended, graceMs))) killGroup(child.pid);
      await within(finished, killWaitMs + outputAfterExitMs);
      return finished;
    },
  };
}

/**
 * The environment of a service: exactly what was given, with upper-cased names as Go Nex has it.
 *
 * @throws NexError `workload_rejected` when two names become one.
 */
function nativeEnvironment(given: Readonly<Record<string, string>>): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    const upper = name.toUpperCase();
    if (Object.hasOwn(environment, upper)) {
      throw new NexError("workload_rejected", `two environment names become ${upper} in upper case`);
    }
    environment[upper] = value;
  }
  return environment;
}

async function spawned(child: ChildProcess): Promise<void> {
  try {
    await once(child, "spawn");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown reason";
    throw new NexError("workload_rejected", `the executable can't be started (${code})`, { cause });
  }
}

function exitOf(child: ChildProcess): Promise<Exited> {
  return new Promise((resolve) => {
    child.once("error", () => resolve({ code: -1 }));
    child.once("exit", (code, signal) => {
      resolve(code === null ? { code: -1, ...(signal === null ? {} : { signal }) } : { code });
    });
  });
}

async function relay(stream: ChildProcess["stdout"], level: LogLevel, host: ProviderHost): Promise<void> {
  if (stream === null) return;
  const lines = new LineSplitter((line) => {
    // A service that writes faster than the node reads waits at its pipe.
    if (host.log(level, line) || stream.isPaused()) return;
    stream.pause();
    void host.drained().then(() => stream.resume());
  });
  stream.on("data", (chunk: Buffer) => lines.push(chunk));
  await once(stream, "close");
  lines.end();
}

/** Kills whatever the service has left in its process group. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, constants.signals.SIGKILL);
  } catch {
    // Nobody is left.
  }
}

/** @returns whether the promise settled in time. */
async function within(promise: Promise<unknown>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, limitMs, false);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
