import { spawn } from "node:child_process";
import { join } from "node:path";

const programTimeoutMs = 300_000;

/** How a program of the check has ended, with what it printed. */
export interface ProgramResult {
  ok: boolean;
  output: string;
}

/** Workspaces of the type checker. Functions have globals of their own, so their types have a workspace, too. */
const typeProjects = ["tsconfig.json", "packages/client/fixtures/tsconfig.json"];

/** The type checker over all its workspaces. */
export async function checkTypes(root: string): Promise<ProgramResult> {
  const results = await Promise.all(
    typeProjects.map((project) =>
      runProgram(root, "typescript/bin/tsc", ["--project", join(root, project), "--pretty", "false"]),
    ),
  );
  return {
    ok: results.every(({ ok }) => ok),
    output: results
      .map(({ output }) => output)
      .filter((output) => output !== "")
      .join("\n"),
  };
}

/** Files, exports and dependencies that nothing uses; `knip.json` says what is an entry. */
export function checkUnused(root: string): Promise<ProgramResult> {
  return runProgram(root, "knip/bin/knip.js", ["--no-progress", "--treat-config-hints-as-errors"]);
}

/** The linter and the formatter, without changing anything. */
export function checkLint(root: string): Promise<ProgramResult> {
  return runProgram(root, "@biomejs/biome/bin/biome", ["ci", "--colors=off", "--max-diagnostics=200"]);
}

/** Applies what the linter and the formatter can mend by themselves. */
export function fixLint(root: string): Promise<ProgramResult> {
  return runProgram(root, "@biomejs/biome/bin/biome", [
    "check",
    "--write",
    "--colors=off",
    "--max-diagnostics=200",
  ]);
}

function runProgram(root: string, program: string, args: string[]): Promise<ProgramResult> {
  const { promise, resolve, reject } = Promise.withResolvers<ProgramResult>();
  const child = spawn(process.execPath, [join(root, "node_modules", program), ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: programTimeoutMs,
    killSignal: "SIGKILL",
  });
  let output = "";
  const keep = (chunk: string) => {
    output += chunk;
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  child.once("error", reject);
  child.once("close", (code, signal) => {
    if (signal !== null)
      output += `\n${program} was ended by ${signal}, after ${programTimeoutMs / 1000} s at the most`;
    resolve({ ok: code === 0, output: output.trim() });
  });
  return promise;
}
