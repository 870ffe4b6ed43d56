/** Runs the programs of the host that drivers use. */
import { execFile, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { MachineError } from "../errors.ts";
import { settlesWithin } from "./wait.ts";

const outputBytesMaxDefault = 16 * 1_048_576;
const complaintCharactersMax = 500;
const versionTimeoutMs = 10_000;

/** Result of running a program to completion. */
export interface ProgramRun {
  /** Why the program failed, from its standard error if possible. Absent on success. */
  failure?: string;
  output: string;
  /** Standard error. */
  complaint: string;
}

/** How to run a program. */
export interface ProgramOptions {
  timeoutMs: number;
  /** Standard input; empty by default. */
  input?: string;
  /** Only PATH and LC_ALL=C by default. */
  env?: NodeJS.ProcessEnv;
  /** The root directory by default. */
  cwd?: string;
  outputBytesMax?: number;
}

/** Runs a program to its end and collects its output. Never rejects. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { input = "", timeoutMs, env, cwd = "/", outputBytesMax = outputBytesMaxDefault }: ProgramOptions,
): Promise<ProgramRun> {
  const { PATH = "" } = process.env;
  const options = { timeout: timeoutMs, maxBuffer: outputBytesMax, env: env ?? { PATH, LC_ALL: "C" }, cwd };
  return await new Promise((resolve) => {
    const child = execFile(
      program,
      [...args],
      { ...options, killSignal: "SIGKILL" },
      (error, output, complaint) => {
        if (error === null) return resolve({ output, complaint });
        const why = error.killed ? `it took longer than ${timeoutMs} ms` : error.message.split("\n")[0];
        resolve({ output, complaint, failure: shortened(complaint) || `${why}` });
      },
    );
    // A program that exits early does not read all its input.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

/**
 * Returns what a program prints with `--version`.
 *
 * @throws MachineError `driver_unavailable`
 */
export async function askVersion(program: string): Promise<string> {
  const { output, failure } = await runProgram(program, ["--version"], { timeoutMs: versionTimeoutMs });
  if (failure === undefined) return output;
  throw new MachineError("driver_unavailable", `"${program}" does not run: ${failure}`);
}

/**
 * Runs a program to its end in a session of its own, with the given streams. Processes that it starts may keep the
 * streams and outlive it. Never rejects.
 *
 * @returns why the program failed; `undefined` on success.
 */
export async function runDetached(
  program: string,
  args: readonly string[],
  { timeoutMs, ...options }: { timeoutMs: number; stdio: StdioOptions; env: NodeJS.ProcessEnv; cwd: string },
): Promise<string | undefined> {
  const child = spawn(program, [...args], { ...options, detached: true });
  const ended = once(child, "exit");
  if (!(await settlesWithin(ended, timeoutMs))) {
    child.kill("SIGKILL");
    return `${program} took longer than ${timeoutMs} ms`;
  }
  try {
    const [code, signal] = await ended;
    return code === 0 ? undefined : `${program} exited with ${code ?? signal}`;
  } catch (error) {
    return `${program} can't be started: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function shortened(complaint: string): string {
  return complaint.replaceAll(/\s+/g, " ").trim().slice(0, complaintCharactersMax);
}
