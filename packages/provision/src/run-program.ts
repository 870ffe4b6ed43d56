import { spawn } from "node:child_process";

const outputCharactersMax = 16 * 1024;

/** How to run a program. */
export interface ProgramOptions {
  timeoutMs: number;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  signal?: AbortSignal | undefined;
}

/** Result of running a program. */
export interface ProgramResult {
  /** Whether the program ran and exited with 0. */
  ok: boolean;
  /** The last 16 Ki characters of both output streams. */
  output: string;
  /** The exit or the failure in a few words: `exited with 1`, `is not installed`. */
  state: string;
}

/**
 * Runs a program to its end. Never rejects. On timeout or abort, the program and its children are killed.
 *
 * Drivers use `runProgram` of `machines` instead: it passes standard input, and an environment without the node's
 * variables.
 */
export function runProgram(program: string, args: string[], options: ProgramOptions): Promise<ProgramResult> {
  const { promise, resolve } = Promise.withResolvers<ProgramResult>();
  let output = "";
  let cut: string | undefined;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ["ignore", "pipe", "pipe"],
    // A process group of its own, so that its children are killed with it.
    detached: true,
  });
  const keep = (chunk: string) => {
    output = (output + chunk).slice(-outputCharactersMax);
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  const cutShort = (why: string) => {
    cut ??= why;
    killGroup(child.pid);
    // A grandchild in another group may hold the pipes open.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const timer = setTimeout(
    () => cutShort(`still ran after ${options.timeoutMs / 1000} s`),
    options.timeoutMs,
  );
  const abort = () => cutShort("was called off");
  if (options.signal?.aborted) abort();
  options.signal?.addEventListener("abort", abort, { once: true });
  const settle = (ok: boolean, state: string) => {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", abort);
    resolve({ ok: ok && cut === undefined, output: output.trim(), state: cut ?? state });
  };
  child.once("error", (error: NodeJS.ErrnoException) => {
    settle(false, error.code === "ENOENT" ? "is not installed" : `can't be run (${error.code})`);
  });
  child.once("close", (code, signal) => settle(code === 0, `exited with ${code ?? signal}`));
  return promise;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}
