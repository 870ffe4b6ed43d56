import { execFile } from "node:child_process";

const outputBytesMax = 16 * 1_048_576;
const complaintCharactersMax = 500;

/** How a program ended that was run to its end. */
export interface ProgramRun {
  /** Why it failed, in its own words where it has some; absent when it did not. */
  failure?: string;
  output: string;
}

/** Runs a program with this text on its standard input, in plain English and with nothing else of our environment. */
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
    // One that ends early does not read all.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

function shortened(complaint: string): string {
  return complaint.replaceAll(/\s+/g, " ").trim().slice(0, complaintCharactersMax);
}
