/** A running `nex up` writes this state down, so that a second terminal finds it. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { nexHome } from "./home.ts";
import { isAlive, startTimeOf } from "./processes.ts";

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
  return isAlive(state.pid) && state.started === startTimeOf(state.pid) ? state : undefined;
}

/** Writes down that this process is the running `nex up`. */
export function writeUpState(at: Pick<UpState, "url" | "context" | "nodeId">): void {
  const state: UpState = { pid: process.pid, started: startTimeOf(process.pid), ...at };
  writeFileSync(statePath(), `${JSON.stringify(state)}\n`, { mode: 0o600 });
}

export function removeUpState(): void {
  rmSync(statePath(), { force: true });
}
