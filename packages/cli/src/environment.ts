/** Environment variables on a command line: `KEY=VALUE` or `KEY:VALUE`, split at the first of the two. */
import { parseEnv } from "node:util";
import { NexError } from "@nexengine/protocol/errors";
import { readNamedFile } from "./key-files.ts";

/** @throws NexError `usage` that names the variable, never its value */
function parseEnvironment(assignments: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const assignment of assignments) {
    const at = assignment.search(/[=:]/);
    if (at <= 0)
      throw new NexError("usage", "Cannot read an environment variable: it must look like KEY=VALUE");
    const name = assignment.slice(0, at);
    if (Object.hasOwn(environment, name)) throw new NexError("usage", `Cannot set "${name}" twice`);
    environment[name] = assignment.slice(at + 1);
  }
  return environment;
}

/**
 * The environment of a workload: a file's variables (`KEY=VALUE` lines, as `.env` files have them), and over them those of
 * the command line.
 *
 * @throws NexError `usage`, `file_not_found`
 */
export function environmentOf(
  assignments: readonly string[],
  file: string | undefined,
): Record<string, string> {
  const given = parseEnvironment(assignments);
  if (file === undefined) return given;
  const ofFile: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseEnv(readNamedFile(file, "the environment file")))) {
    if (value !== undefined) ofFile[name] = value;
  }
  return { ...ofFile, ...given };
}
