/** Names and values that can be in an environment, checked before anything is sealed. */
import { NexError } from "@nexengine/protocol/errors";
import { printable } from "@nexengine/protocol/subjects";
import type { Environment } from "@nexengine/protocol/tokens";

/**
 * Refuses what no environment can hold. Names that become one in upper case are the agent's to refuse, which alone
 * knows what it does with them. No message holds a value.
 *
 * @param name The workload's, for the message.
 * @throws NexError `environment_unreadable`
 */
export function checkEnvironment(name: string, environment: Environment): void {
  const refuse = (why: string): NexError =>
    new NexError("environment_unreadable", `Cannot deploy "${name}": ${why}`);
  for (const [variable, value] of Object.entries(environment)) {
    if (variable === "" || /[=\0]/.test(variable)) {
      throw refuse(`"${printable(variable)}" can't be the name of an environment variable`);
    }
    if (typeof value !== "string" || value.includes("\0")) {
      throw refuse(`the value of environment variable "${printable(variable)}" is not a text without NUL`);
    }
  }
}
