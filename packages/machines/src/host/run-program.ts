import { execFile } from "node:child_process";

const outputBytesMax = 16 * 1_048_576;
const complaintCharactersMax = 500;

/** Result of running a program to completion. */
export interface ProgramRun {
  /** Why the program failed, from its standard error if possible. Absent on success. */
  failure?: string;
  output: string;
}

/** Runs a program with the given standard input. The environment contains only PATH and LC_ALL=C. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { input = "", timeoutMs }: { input?: string; timeoutMs: number },
): Promise<ProgramRun> {
  const { PATH = "" } = process.env;
  const options = { timeout: timeoutMs, maxBuffer: outputBytesMax, env: { PATH, LC_ALL: "C" }, cwd: "/" };
  return await new Promise((resolve) => {
    const child = execFile(
      program,
      [...args],
      { ...options, killSignal: "SIGKILL" },
      (error, output, complaint) => {
        if (error === null) return resolve({ output });
        const why = error.killed ? `it took longer than ${timeoutMs} ms` : error.message.split("\n")[0];
        resolve({ output, failure: shortened(complaint) || `${why}` });
      },
    );
    // A program that exits early does not read all its input.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

function shortened(complaint: string): string {
  return complaint.replaceAll(/\s+/g, " ").trim().slice(0, complaintCharactersMax);
}
