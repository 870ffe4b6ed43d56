import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Where a server can be reached by clients. */
export interface ServerAddress {
  url: string;
  port: number;
}

/**
 * Reads the file that a nats-server writes into `directory` when it is ready (`PROGRAM_PID.ports`).
 * A wrapper may stand between us and the server, so neither the name nor the pid is relied on.
 *
 * @param host The one that the server was told to listen on.
 * @returns `undefined` when there is no such file yet, or it isn't whole yet.
 */
export async function readPortsFile(directory: string, host: string): Promise<ServerAddress | undefined> {
  const name = (await readdir(directory)).find((entry) => entry.endsWith(".ports"));
  if (name === undefined) return undefined;
  const text = await readFile(join(directory, name), "utf8").catch(() => "");
  return parsePorts(text, host);
}

/** Takes the client address out of a ports file. */
export function parsePorts(text: string, host: string): ServerAddress | undefined {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return undefined;
  }
  const urls =
    typeof content === "object" && content !== null && "nats" in content ? content.nats : undefined;
  const first: unknown = Array.isArray(urls) ? urls[0] : undefined;
  const found = typeof first === "string" ? /^(\w+):\/\/.*:(\d+)$/.exec(first) : null;
  if (found === null) return undefined;
  const port = Number(found[2]);
  return { url: `${found[1]}://${reachable(host)}:${port}`, port };
}

/** A server that listens on every interface is reached over the local one. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
