/** Requests on a connection: one subscription for all answers, and no promise for each. */
import { LastingSubscription } from "../connections/lasting-subscription.ts";
import type {
  MessageContent,
  TriggerConnection,
  TriggerMessage,
} from "../functions/triggers/trigger-connection.ts";

/** Takes the answer, at once; `undefined` when none came in time. The view is reused after the call. */
export type AnswerTaker = (answer: TriggerMessage | undefined) => void;

interface Pending {
  take: AnswerTaker;
  timer: NodeJS.Timeout;
}

const dot = ".".charCodeAt(0);

export class Requester implements AsyncDisposable {
  readonly #connection: TriggerConnection;
  readonly #inbox: string;
  readonly #pending = new Map<string, Pending>();
  readonly #subscription: LastingSubscription;
  #count = 0;

  constructor(connection: TriggerConnection) {
    this.#connection = connection;
    this.#inbox = connection.newInbox();
    const subject = `${this.#inbox}.*`;
    this.#subscription = new LastingSubscription(
      connection,
      subject,
      () => connection.subscribe(subject, undefined, (message) => this.#answered(message)),
      { refused: () => undefined, back: () => undefined },
    );
  }

  /** Maximum size of a request, with its headers. */
  get payloadBytesMax(): number {
    return this.#connection.payloadBytesMax;
  }

  /**
   * Sends a request, and hands the first answer to `take`.
   *
   * @returns false when it was not sent, and nothing is taken: there is no server, or it does not read.
   */
  send(subject: string, content: MessageContent, timeMs: number, take: AnswerTaker): boolean {
    const id = (this.#count++).toString(36);
    if (this.#connection.isClosed || !this.#connection.ask(subject, `${this.#inbox}.${id}`, content))
      return false;
    const timer = setTimeout(() => {
      this.#pending.delete(id);
      take(undefined);
    }, timeMs);
    this.#pending.set(id, { take, timer });
    return true;
  }

  #answered(message: TriggerMessage): void {
    const { bytes, subjectStart, subjectEnd } = message;
    const start = bytes.lastIndexOf(dot, subjectEnd - 1) + 1;
    if (start <= subjectStart) return;
    const id = bytes.toString("latin1", start, subjectEnd);
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    pending.take(message);
  }

  /** Ends it; those who wait get no answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { take, timer } of this.#pending.values()) {
      clearTimeout(timer);
      take(undefined);
    }
    this.#pending.clear();
    await this.#subscription.drain().catch(() => undefined);
  }
}
