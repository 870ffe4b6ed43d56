/** Options of the process driver. */

/** Options of a process driver. */
export interface ProcessDriverOptions {
  /** Program of the machine and its arguments: for Nex, Node and the agent's file. */
  command: readonly [program: string, ...args: string[]];
  /** Maximum time for a killed machine to disappear, in ms. Default 5,000. */
  killTimeoutMs?: number;
}

/** Options with all defaults filled in. */
export type ProcessDriverSettings = Required<ProcessDriverOptions>;

/** Fills in the defaults. */
export function completeOptions(options: ProcessDriverOptions): ProcessDriverSettings {
  return { killTimeoutMs: 5_000, ...options };
}
