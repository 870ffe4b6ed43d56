/** Environment variables on a command line: `KEY=VALUE` or `KEY:VALUE`, split at the first of the two. */
import { NexError } from "@nexengine/protocol/internal";

/** @throws NexError `usage` that names the variable, never its value */
export function parseEnvironment(assignments: readonly string[]): Record<string, string> {
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
