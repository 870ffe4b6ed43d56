/**
 * Ticks for servers without repeating schedules: every copy publishes each tick, under a message id by which the server
 * drops all but the first one. No copy leads, so none is missed when one dies.
 */
import { headers, type NatsConnection } from "@nats-io/nats-core";
import type { Schedule } from "@nexengine/protocol/formats";
import { jetStreamTimeMs } from "../../../connections/buckets.ts";

/** Half of the time for which a server remembers message ids, unless told otherwise. A later tick could come twice. */
const lateMsMax = 60_000;
const retryMs = 1_000;
/** Timers hold no longer times, and clocks are set meanwhile. */
const sleepMsMax = 600_000;

export class TickPublisher {
  readonly #nats: NatsConnection;
  readonly #subject: string;
  readonly #schedule: Schedule;
  readonly #payload: string;
  #plannedMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(nats: NatsConnection, subject: string, schedule: Schedule, payload: string) {
    this.#nats = nats;
    this.#subject = subject;
    this.#schedule = schedule;
    this.#payload = payload;
  }

  async start(): Promise<void> {
    this.#plan(Date.now());
  }

  /** Nothing stands with the server that others could end. */
  look(): void {}

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #plan(afterMs: number): void {
    this.#plannedMs = this.#schedule.next(afterMs);
    this.#sleep(this.#plannedMs - Date.now());
  }

  #sleep(ms: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#wake(), Math.min(Math.max(ms, 0), sleepMsMax));
  }

  async #wake(): Promise<void> {
    const lateMs = Date.now() - this.#plannedMs;
    if (lateMs < 0) {
      this.#sleep(-lateMs);
    } else if (lateMs > lateMsMax || (await this.#publish())) {
      this.#plan(Math.max(this.#plannedMs, Date.now() - lateMsMax));
    } else {
      this.#sleep(retryMs);
    }
  }

  /** @returns whether the server has it */
  async #publish(): Promise<boolean> {
    const made = headers();
    made.set("Nats-Msg-Id", `${this.#subject}/${this.#plannedMs}`);
    try {
      const options = { headers: made, timeout: jetStreamTimeMs };
      const reply = await this.#nats.request(this.#subject, this.#payload, options);
      return reply.json<{ error?: unknown }>().error === undefined;
    } catch {
      return false;
    }
  }
}
