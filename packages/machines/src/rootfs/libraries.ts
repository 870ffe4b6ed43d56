import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { MachineError } from "../errors.ts";
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
  const listed = await promisify(execFile)(interpreter, ["--list", program], {
    timeout: listTimeoutMs,
    env: {},
  }).catch((cause: unknown) => {
    throw new MachineError("rootfs_failed", `Cannot list the libraries of "${program}"`, { cause });
  });
  return parseLibraries(program, interpreter, listed.stdout);
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
