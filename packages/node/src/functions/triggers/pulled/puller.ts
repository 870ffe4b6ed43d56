/**
 * Pulls messages of a JetStream consumer, as many as there are free places. The library's own puller stands still for
 * half a minute when a leader steps down, and by callbacks it holds nothing back.
 *
 * Messages come on an inbox of their own. After anything that leaves unclear which pulls are still open, there is a new
 * inbox: old pulls would survive a reconnect and bring more than there are places.
 */
import type { Subscribed } from "../../../connections/lasting-subscription.ts";
import type { TriggerConnection, TriggerMessage } from "../trigger-connection.ts";
import { type PullStatus, parseStatus } from "./pull-status.ts";

const expiresMs = 30_000;
/** Interval of the server's signs of life while a pull is open. */
const heartbeatMs = 5_000;
const nsPerMs = 1e6;
/** Silence, in heartbeats, after which pulls count as lost. */
const silentHeartbeatsMax = 2;
const retryFirstMs = 250;
const retryMaxMs = 5_000;
const tooManyPullsMs = 1_000;

/** The owner of a puller. */
export interface PullerOwner {
  /** Free places for messages that are not asked for yet. @param open Number of messages that are asked for */
  wanted(open: number): number;
  take(message: TriggerMessage): void;
  /** Nobody answers pulls, or not any more: the consumer or its leader may be gone. Pulls go on. */
  unanswered(why: string): void;
  /** Messages or signs of life come again. */
  answered(): void;
  /** The server says that the consumer is gone, or refuses pulls for good. Pulls have ended. */
  ended(why: string): void;
}

export class Puller {
  readonly #connection: TriggerConnection;
  /** Where the consumer's messages are asked for. */
  readonly subject: string;
  readonly #owner: PullerOwner;
  #inbox = "";
  #subscription: Subscribed | undefined;
  /** Number of messages that are asked for and have not come. */
  #open = 0;
  #isScheduled = false;
  #heardAtMs = 0;
  #isUnanswered = false;
  #retryMs = retryFirstMs;
  #retry: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  readonly #pullSoon = (): void => {
    this.#isScheduled = false;
    this.#pull();
  };

  constructor(connection: TriggerConnection, subject: string, owner: PullerOwner) {
    this.#connection = connection;
    this.subject = subject;
    this.#owner = owner;
  }

  /** Whether it asks for messages, or will as soon as the server answers. */
  get isPulling(): boolean {
    return this.#subscription !== undefined;
  }

  /** Starts to pull, with a new inbox. Messages on the way to the old one are still taken. */
  start(): void {
    this.#endPulls();
    const inbox = this.#connection.newInbox();
    this.#inbox = inbox;
    this.#heardAtMs = performance.now();
    this.#subscription = this.#connection.subscribe(inbox, undefined, (message) =>
      this.#take(inbox, message),
    );
    this.#watch ??= setInterval(() => this.#lookOver(), heartbeatMs);
    this.more();
  }

  /** Ends all pulls. Messages that the server has sent already are taken before this settles. */
  async stop(): Promise<void> {
    clearInterval(this.#watch);
    this.#watch = undefined;
    await this.#endPulls();
  }

  /** Pulls again after a moment. @param why The reason, for the owner */
  pullLater(why: string): void {
    this.#again(why, retryMaxMs);
  }

  /** Asks for messages at the end of the turn, if there are places. */
  more(): void {
    if (this.#isScheduled || this.#subscription === undefined) return;
    this.#isScheduled = true;
    setImmediate(this.#pullSoon);
  }

  #endPulls(): Promise<void> {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#open = 0;
    const subscription = this.#subscription;
    this.#subscription = undefined;
    if (subscription === undefined) return Promise.resolve();
    if (this.#connection.isClosed) subscription.drop();
    else return subscription.drain().catch(() => subscription.drop());
    return Promise.resolve();
  }

  #pull(): void {
    if (this.#subscription === undefined || this.#retry !== undefined) return;
    const batch = this.#owner.wanted(this.#open);
    if (batch <= 0) return;
    const times = `"expires":${expiresMs * nsPerMs},"idle_heartbeat":${heartbeatMs * nsPerMs}`;
    if (!this.#connection.request(this.subject, this.#inbox, `{"batch":${batch},${times}}`)) return;
    if (this.#open === 0) this.#heardAtMs = performance.now();
    this.#open += batch;
  }

  #take(inbox: string, message: TriggerMessage): void {
    const isCurrent = inbox === this.#inbox;
    // Only statuses have no subject to settle on.
    if (message.replyEnd > message.replyStart) {
      if (isCurrent && this.#open > 0) this.#open--;
      this.#heard();
      this.#owner.take(message);
      return;
    }
    if (!isCurrent || this.#subscription === undefined) return;
    const { bytes, headersStart, payloadStart } = message;
    this.#takeStatus(parseStatus(bytes.toString("latin1", headersStart, payloadStart)));
  }

  #heard(): void {
    this.#heardAtMs = performance.now();
    if (!this.#isUnanswered) return;
    this.#isUnanswered = false;
    this.#retryMs = retryFirstMs;
    this.#owner.answered();
  }

  #takeStatus(status: PullStatus): void {
    switch (status.type) {
      case "heartbeat":
        this.#heard();
        break;
      case "over":
        this.#heard();
        this.#open = Math.max(0, this.#open - (status.pending ?? this.#open));
        this.more();
        break;
      case "moved":
        // The pulls went with the leader.
        this.start();
        break;
      case "crowded":
        this.#again(status.text, tooManyPullsMs);
        break;
      case "absent":
        this.#again(status.text, this.#retryMs);
        this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs);
        break;
      case "refused":
        void this.stop();
        this.#owner.ended(status.text);
        break;
    }
  }

  /** Pulls again later, with a new inbox. */
  #again(why: string, delayMs: number): void {
    if (this.#retry !== undefined) return;
    this.#isUnanswered = true;
    this.#open = 0;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.start();
    }, delayMs);
    this.#owner.unanswered(why);
  }

  #lookOver(): void {
    if (this.#open === 0 || this.#retry !== undefined) {
      this.more();
      return;
    }
    const silentMs = performance.now() - this.#heardAtMs;
    if (silentMs > silentHeartbeatsMax * heartbeatMs) this.#again("the server is silent", 0);
  }
}
