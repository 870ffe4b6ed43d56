/**
 * Node releases that compute wrong results, and what makes them right.
 *
 * V8 14.6 of Node 26 keeps a number that a closure changes in a cell of its context, and its optimizing compiler reads
 * the cell at the wrong moment. Node 24 and 25 have no such cells. `tools/bootstrap.mjs` holds the same rule, because
 * it imports nothing; `test/right-numbers.test.ts` compares the two and runs the programs that show the error.
 */
import { setFlagsFromString } from "node:v8";

const wrongFromMajor = 26;

/** The option that makes a Node of this version compute right results; `undefined` when it needs none. */
export function repairFlag(version: string): string | undefined {
  return Number.parseInt(version, 10) >= wrongFromMajor ? "--no-function-context-cells" : undefined;
}

/**
 * Makes the Node that runs this program compute right results. A program calls it before it runs anything else: code
 * that has been compiled before is not repaired.
 */
export function repairRuntime(): void {
  const flag = repairFlag(process.versions.node);
  if (flag !== undefined && !process.execArgv.includes(flag)) setFlagsFromString(flag);
}
