/** The contexts of the NATS command line, where it keeps them. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/errors";
import { isContextName, type NatsContext, parseNatsContext } from "@nexengine/protocol/nats";

/** A context and what it is called. */
export interface NamedContext {
  name: string;
  context: NatsContext;
}

function folder(): string {
  const config = process.env["XDG_CONFIG_HOME"] || join(process.env["HOME"] || homedir(), ".config");
  return join(config, "nats");
}

/**
 * Reads a context.
 *
 * @throws NexError `usage` for what can't be a name, `file_not_found`, `config_invalid`
 */
export function readContext(name: string): NamedContext {
  if (!isContextName(name)) {
    throw new NexError("usage", `Cannot use the NATS context "${name}": a name has no "..", "/" or "\\"`);
  }
  const path = join(folder(), "context", `${name}.json`);
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (cause) {
    const isAbsent = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    throw new NexError(
      "file_not_found",
      `Cannot use the NATS context "${name}": ${isAbsent ? "there is no file" : "one can't read"} "${path}"`,
      { cause, advice: "See which contexts there are with: nats context ls" },
    );
  }
  return { name, context: parseNatsContext(content, name) };
}

/** @returns the name of the context that `nats context select` has chosen, if there is one. */
export function selectedContextName(): string | undefined {
  try {
    return readFileSync(join(folder(), "context.txt"), "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

/** A path in a context may begin with `~`. */
export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(process.env["HOME"] || homedir(), path.slice(1)) : path;
}
