import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { NexError } from "@nexengine/protocol/errors";
import { runProgram } from "../run-program.ts";
import { readPortsFile, type ServerAddress } from "./ports-file.ts";

const readyPollMsMin = 4;
const readyPollMsMax = 50;
const probeTimeoutMs = 5_000;
const logShownCharactersMax = 4096;

/** Options of one run of the server. */
export interface LaunchOptions {
  binaryPath: string;
  args: string[];
  /** The interface that `args` name. */
  host: string;
  /** Ours; the ports file goes into a new folder in it. */
  directory: string;
  logPath: string;
  readyTimeoutMs: number;
  signal: AbortSignal | undefined;
}

/** How a server has ended. */
export interface NatsServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** One run of the server, ready. */
export interface Launched extends ServerAddress {
  pid: number;
  /** Settles when it has ended; never rejects. */
  exited: Promise<NatsServerExit>;
  /** Asks, waits at most `graceMs`, then kills; settles when it has ended. */
  end(graceMs: number): Promise<{ forced: boolean }>;
}

/**
 * Starts a nats-server and waits until it says where it listens, or ends, or its time is up.
 *
 * @throws NexError with the end of its log; nothing runs then.
 */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const portsDirectory = await mkdtemp(join(options.directory, "ports-"));
  const child = await spawnServer(options, [...options.args, "--ports_file_dir", portsDirectory]);
  const exited = exitOf(child);
  // It does not outlive us when we end without a word to it.
  const killAtOurExit = () => child.kill("SIGKILL");
  process.once("exit", killAtOurExit);
  void exited.then(() => process.off("exit", killAtOurExit));
  try {
    const address = await ready(options, portsDirectory, exited);
    return { ...address, pid: child.pid ?? 0, exited, end: (graceMs) => end(child, exited, graceMs) };
  } catch (error) {
    await end(child, exited, 0);
    throw error;
  } finally {
    await rm(portsDirectory, { recursive: true, force: true });
  }
}

async function spawnServer(options: LaunchOptions, args: string[]): Promise<ChildProcess> {
  const log = await open(options.logPath, "a", 0o600);
  try {
    const wrapper = await deathWrapper();
    const [program = options.binaryPath, ...programArgs] = [...wrapper, options.binaryPath, ...args];
    // A group of its own: the Ctrl-C meant for us must not take the server from under a node that is ending its work.
    const child = spawn(program, programArgs, { detached: true, stdio: ["ignore", log.fd, log.fd] });
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

/** On Linux `setpriv` has the kernel kill the server if we are killed ourselves; it replaces itself by the server. */
async function deathWrapper(): Promise<string[]> {
  if (process.platform !== "linux") return [];
  const wrapper = ["--pdeathsig", "KILL"];
  const probe = await runProgram("setpriv", [...wrapper, "true"], { timeoutMs: probeTimeoutMs });
  return probe.ok ? ["setpriv", ...wrapper] : [];
}

function exitOf(child: ChildProcess): Promise<NatsServerExit> {
  const { promise, resolve } = Promise.withResolvers<NatsServerExit>();
  child.once("error", () => resolve({ code: null, signal: null }));
  child.once("exit", (code, signal) => resolve({ code, signal }));
  return promise;
}

async function ready(
  options: LaunchOptions,
  portsDirectory: string,
  exited: Promise<NatsServerExit>,
): Promise<ServerAddress> {
  const deadline = Date.now() + options.readyTimeoutMs;
  let exit: NatsServerExit | undefined;
  void exited.then((how) => {
    exit = how;
  });
  for (let pollMs = readyPollMsMin; ; pollMs = Math.min(pollMs * 1.5, readyPollMsMax)) {
    const address = await readPortsFile(portsDirectory, options.host);
    if (exit !== undefined)
      throw await failure(options, `it ended with ${exit.code ?? exit.signal ?? "no process"}`);
    // Before the address: nobody would stop a server that came up after it was called off.
    if (options.signal?.aborted) throw await failure(options, "the start was called off");
    if (address !== undefined) return address;
    if (Date.now() > deadline)
      throw await failure(options, `it was not ready after ${options.readyTimeoutMs} ms`);
    await delay(pollMs);
  }
}

async function failure(options: LaunchOptions, state: string): Promise<NexError> {
  const log = (await readFile(options.logPath, "utf8").catch(() => "")).slice(-logShownCharactersMax).trim();
  if (/address already in use/.test(log)) {
    const port = /listen tcp \S*:(\d+)/.exec(log)?.[1] ?? "that was asked for";
    return new NexError(
      "nats_server_port_taken",
      `Cannot start nats-server: port ${port} belongs to another program; choose another port, or 0 for a free one`,
    );
  }
  const words = log === "" ? "it has logged nothing" : `its log ends with\n${log}`;
  return new NexError(
    "nats_server_failed",
    `Cannot start nats-server ${options.binaryPath}: ${state}; ${words}`,
  );
}

async function end(
  child: ChildProcess,
  exited: Promise<NatsServerExit>,
  graceMs: number,
): Promise<{ forced: boolean }> {
  // Whoever waits for its end must not be ended by an empty event loop meanwhile.
  child.ref();
  const timer = new AbortController();
  if (graceMs > 0 && child.kill("SIGTERM")) {
    const late = delay(graceMs, "late" as const, { signal: timer.signal }).catch(() => "off" as const);
    const first = await Promise.race([exited, late]);
    timer.abort();
    if (first !== "late") return { forced: false };
  }
  const forced = child.kill("SIGKILL");
  await exited;
  return { forced };
}
