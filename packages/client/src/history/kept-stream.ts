/** A stream of the history: whether it is there, and the numbers of its messages. */
import { NexError } from "@nexengine/protocol/errors";
import { notSent, silenceKind } from "../request-failure.ts";
import { readStored, type StoredBatch, type StoredPlace, type StoredQuery } from "./stored-messages.ts";

const requestMs = 5_000;
/** Error code of JetStream. */
const streamNotFound = 10_059;

/** Facts about a stream at one time. */
export interface StreamFacts {
  /** Time of its creation, which tells one stream from the next of its name. */
  created: string;
  first: number;
  /** Number of the last message; 0 when there was none. */
  last: number;
}

export class KeptStream {
  readonly #place: StoredPlace;

  constructor(place: StoredPlace) {
    this.#place = place;
  }

  get name(): string {
    return this.#place.stream;
  }

  /** Names the connection to a server; it changes with each reconnect. */
  get connectedTo(): string {
    const { server_id: server, client_id: client } = this.#place.connection.info ?? {};
    return `${server}/${client}`;
  }

  /** As `readStored`. */
  read(query: StoredQuery): Promise<StoredBatch> {
    return readStored(this.#place, query);
  }

  /**
   * Asks for the facts.
   *
   * @param isFirst Whether an account without JetStream is told from a server that was lost.
   * @returns `undefined` when JetStream does not answer.
   * @throws NexError `history_missing`, `connection_failed`
   */
  async look(isFirst = false): Promise<StreamFacts | undefined> {
    const info = await this.#ask(`$JS.API.STREAM.INFO.${this.name}`, "");
    if (info === "nobody" && isFirst) throw missing("JetStream is off, or not for this account");
    if (typeof info === "string") return undefined;
    const { error, config, created, state } = JSON.parse(info.text) as Partial<StreamInfo>;
    if (error?.err_code === streamNotFound) throw missing(`there is no stream ${this.name}`);
    if (error !== undefined && isFirst) throw missing(error.description ?? "JetStream refuses to answer");
    if (error !== undefined || config === undefined || state === undefined || created === undefined)
      return undefined;
    if (config.allow_direct !== true) {
      throw missing(`the stream ${this.name} does not let its messages be read by number`, {
        advice: `Whoever owns it can permit that: nats stream edit ${this.name} --allow-direct`,
      });
    }
    return { created, first: Math.max(1, state.first_seq), last: state.last_seq };
  }

  /** Finds out whether messages may be read. @throws NexError `connection_failed` where the server does not permit it */
  async assertReadable(): Promise<void> {
    await this.#ask(`$JS.API.DIRECT.GET.${this.name}`, JSON.stringify({ seq: 1 }));
  }

  /** @throws NexError `connection_failed` where the server does not permit it */
  async #ask(subject: string, body: string): Promise<{ text: string } | "nobody" | "silence"> {
    const { connection } = this.#place;
    try {
      return { text: (await connection.request(subject, body, { timeout: requestMs })).string() };
    } catch (cause) {
      const kind = silenceKind(cause);
      if (kind === "denied") throw notSent(cause, `Cannot read the stream ${this.name}`);
      return kind === "no-responders" ? "nobody" : "silence";
    }
  }
}

/** The answer of JetStream, as far as it is read here. */
interface StreamInfo {
  error: { err_code?: number; description?: string };
  config: { allow_direct?: boolean };
  created: string;
  state: { first_seq: number; last_seq: number };
}

function missing(why: string, options: { advice?: string } = {}): NexError {
  return new NexError("history_missing", `Cannot read the history: ${why}`, {
    advice: 'A node keeps history with "history": {"logs": true, "events": true} in its configuration',
    ...options,
  });
}
