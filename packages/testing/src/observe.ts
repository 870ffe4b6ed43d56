/** Observes a nexus and the host for tests: events, log lines, processes. */
import { type Dirent, existsSync, readdirSync, readFileSync } from "node:fs";
import { NexError } from "@nexengine/protocol";
import type { TestNexus } from "./nexus.ts";

const pollMs = 10;

/** Waits for a condition; the test runner's limit bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, pollMs));
}

/** Asks until there is something; the test runner's limit bounds it. */
export async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await ask();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** The next event of a type about a workload. */
export async function eventOf(
  nexus: TestNexus,
  type: string,
  act: () => Promise<unknown>,
): Promise<Record<string, unknown>> {
  await using feed = nexus.client.events();
  await nexus.client.flush();
  await act();
  for await (const entry of feed) if (entry.type === type) return entry.event.data ?? {};
  throw new NexError("timeout", `The feed ended without ${type}`);
}

/** The next log lines, as many as are wanted. */
export async function logsOf(
  nexus: TestNexus,
  count: number,
  act: () => Promise<unknown>,
): Promise<string[]> {
  await using feed = nexus.client.logs();
  await nexus.client.flush();
  await act();
  const lines: string[] = [];
  for await (const { level, text } of feed)
    if (!/^Workload /.test(text) && lines.push(`${level} ${text}`) === count) break;
  return lines;
}

/** The arguments of a process, each with a zero after it; empty when it is gone. */
export function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Lists a folder to its depth. A folder in it that is removed meanwhile makes the list begin anew. */
function listBelow(folder: string): Dirent[] {
  for (;;) {
    try {
      return readdirSync(folder, { recursive: true, withFileTypes: true });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT") || !existsSync(folder))
        throw error;
    }
  }
}

/** The text of every file of a node below a folder. */
export function filesBelow(folder: string): string[] {
  return listBelow(folder)
    .filter((entry) => entry.isFile() && /nex-node-/.test(entry.parentPath))
    .map((entry) => {
      try {
        return readFileSync(`${entry.parentPath}/${entry.name}`, "latin1");
      } catch {
        return "";
      }
    });
}

/** Processes of a probe that was told to start a daemon. */
export function daemonsRunning(): number {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && /^s\d+\0.*daemon/.test(commandLineOf(pid)))
    .length;
}
