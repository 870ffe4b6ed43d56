/** Questions about a program on this host: whether it can be started, and which version it has. */
import { accessSync, constants, statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type ProgramResult, runProgram } from "./run-program.ts";

const versionTimeoutMs = 10_000;
const busyRetriesMax = 10;
const busyRetryDelayMs = 50;

/** Reports whether a path names an executable file. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * Runs a program with `--version`. A program that was just written can be busy, because a child that was forked
 * meanwhile still has it open for writing.
 */
export async function askVersion(path: string): Promise<ProgramResult> {
  for (let retry = 0; ; retry++) {
    const result = await runProgram(path, ["--version"], { timeoutMs: versionTimeoutMs });
    if (result.ok || !result.state.includes("ETXTBSY") || retry === busyRetriesMax) return result;
    await delay(busyRetryDelayMs);
  }
}

/** Compares the first three numbers of two versions. Negative if `a` is older than `b`. */
export function compareVersions(a: string, b: string): number {
  const left = a.split(/[.-]/);
  const right = b.split(/[.-]/);
  for (const index of [0, 1, 2]) {
    const difference = Number(left[index] ?? 0) - Number(right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
