/**
 * Workaround for Node releases that compute wrong results.
 *
 * V8 14.6 in Node 26 keeps a number that a closure modifies in a context cell, and its optimizing compiler reads the
 * cell at the wrong moment. Node 24 and 25 have no such cells. `tools/bootstrap.mjs` repeats the rule because it can't
 * import anything. `test/right-numbers.test.ts` compares the two and runs the programs that show the error.
 */
import { setFlagsFromString } from "node:v8";

const wrongFromMajor = 26;

/** V8 option with which this Node version computes correct results; `undefined` if it needs none. */
export function repairFlag(version: string): string | undefined {
  return Number.parseInt(version, 10) >= wrongFromMajor ? "--no-function-context-cells" : undefined;
}

/** V8's options are the process's and can't be read, so this remembers that the option was applied. */
let isRepaired = false;

/**
 * Applies the V8 option to this process. Call it before running other code, because code that is already compiled is
 * not corrected.
 *
 * @returns a note for the user at the first call that had to act; `undefined` otherwise.
 */
export function repairRuntime(): string | undefined {
  const { node: version } = process.versions;
  const flag = repairFlag(version);
  if (flag === undefined || isRepaired || process.execArgv.includes(flag)) return undefined;
  isRepaired = true;
  setFlagsFromString(flag);
  return (
    `Node ${version} computes wrong results (its V8 miscompiles closures), so Nex has switched the faulty ` +
    `optimization off; code that was compiled before keeps it: start Node with ${flag}, or use Node ${wrongFromMajor - 2}`
  );
}

/** Does the same in a program that embeds Nex, and tells its user by a warning of the process. */
export function repairEmbeddingProgram(): void {
  const repaired = repairRuntime();
  if (repaired !== undefined) process.emitWarning(repaired, { code: "NEX_RUNTIME_REPAIRED" });
}
