/** Finds the shared libraries of a program. */
import { MachineError } from "../errors.ts";
import { runProgram } from "../host/run-program.ts";
import { readInterpreter } from "./elf.ts";

const listTimeoutMs = 10_000;

/**
 * Lists the dynamic loader and the shared libraries of a program, as resolved by this host's loader. The program
 * itself does not run.
 *
 * @throws MachineError `rootfs_failed` if a library is missing.
 */
export async function findLibraries(program: string): Promise<string[]> {
  const interpreter = await readInterpreter(program);
  if (interpreter === undefined) return [];
  const { output, failure } = await runProgram(interpreter, ["--list", program], {
    timeoutMs: listTimeoutMs,
  });
  if (failure !== undefined)
    throw new MachineError("rootfs_failed", `Cannot list the libraries of "${program}": ${failure}`);
  return parseLibraries(program, interpreter, output);
}

/** Parses the loader's output, lines of `name => path (address)`. */
export function parseLibraries(program: string, interpreter: string, listed: string): string[] {
  const found = new Set([interpreter]);
  for (const line of listed.split("\n")) {
    const [, name, path = ""] = /^\s*(\S+) => (.*?)(?: \(0x[0-9a-f]+\))?$/.exec(line) ?? [];
    if (name === undefined || name === interpreter) continue;
    if (!path.startsWith("/")) {
      throw new MachineError(
        "rootfs_failed",
        `Cannot use "${program}": its library "${name}" is missing here`,
      );
    }
    found.add(path);
  }
  return [...found];
}
