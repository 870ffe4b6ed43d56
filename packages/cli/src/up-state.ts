/** A running `nex up` writes this state down, so that a second terminal finds it. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { nexHome } from "./home.ts";

const upStateSchema = z.object({
  pid: z.number().int().positive(),
  /** The kernel's start time of that process, so that a reused pid is not taken for it; empty where unknown. */
  started: z.string(),
  url: z.string(),
  /** The NATS context by which the server was named. */
  context: z.string().optional(),
  nodeId: z.string(),
});
export type UpState = z.infer<typeof upStateSchema>;

const statePath = (): string => join(nexHome(), "up.json");

/** @returns the running `nex up`, if there is one. */
export function findRunningUp(): UpState | undefined {
  let state: UpState;
  try {
    state = upStateSchema.parse(JSON.parse(readFileSync(statePath(), "utf8")));
  } catch {
    return undefined;
  }
  return isAlive(state) ? state : undefined;
}

/** Writes down that this process is the running `nex up`. */
export function writeUpState(at: Pick<UpState, "url" | "context" | "nodeId">): void {
  const state: UpState = { pid: process.pid, started: startTimeOf(process.pid), ...at };
  writeFileSync(statePath(), `${JSON.stringify(state)}\n`, { mode: 0o600 });
}

export function removeUpState(): void {
  rmSync(statePath(), { force: true });
}

function isAlive(state: UpState): boolean {
  try {
    process.kill(state.pid, 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
  return state.started === startTimeOf(state.pid);
}

/** Field 22 of /proc/<pid>/stat; the name in field 2 may hold anything, so count from its end. */
function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
