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

/**
 * Applies the V8 option to this process. Call it before running other code, because code that is already compiled is
 * not corrected.
 */
export function repairRuntime(): void {
  const flag = repairFlag(process.versions.node);
  if (flag !== undefined && !process.execArgv.includes(flag)) setFlagsFromString(flag);
}
