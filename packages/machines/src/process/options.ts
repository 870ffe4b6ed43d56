/** What a process driver is told. */
export interface ProcessDriverOptions {
  /** The program that runs as the machine, and its arguments: for Nex, Node and the agent's file. */
  command: readonly [program: string, ...args: string[]];
  /** How long a killed machine may take to be gone. Default 5,000. */
  killTimeoutMs?: number;
}

/** The same, complete. */
export type ProcessDriverSettings = Required<ProcessDriverOptions>;

/** Fills in the defaults. */
export function completeOptions(options: ProcessDriverOptions): ProcessDriverSettings {
  return { killTimeoutMs: 5_000, ...options };
}
