/** A schedule that the NATS server carries out: a message with the schedule in its headers, in the stream of the ticks. */
import { createHash } from "node:crypto";
import type { JetStreamManager, StoredMsg } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/nats-core";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { jetStreamTimeMs } from "../../../connections/buckets.ts";
import { asTriggerError } from "./consumer.ts";

/** Interval of looking whether the schedule is still there. */
const lookMs = 300_000;
/** Minimum time between two looks after ticks. */
const looksApartMs = 5_000;
/** Age at which it is put again. */
const renewMs = 8 * 3_600_000;
/** Life of a schedule that nobody puts again. */
const life = "24h";
/** Life of a tick that nobody takes. */
const tickLife = "24h";
/** JetStream error code: another copy has put it in the meantime. */
const wrongLastSequence = 10_071;

const digestHeader = "Nex-Schedule-Digest";
const deployedHeader = "Nex-Deployed";

/** A schedule and its ticks. */
export interface ServerScheduleOptions {
  stream: string;
  /** Subject of the schedule. */
  subject: string;
  /** Subject of the ticks. */
  target: string;
  /** Six fields, as the server takes them. */
  fields: string;
  zone: string | undefined;
  payload: string;
  /** Time of the deploy. The schedule of a later one stays. */
  deployedAtMs: number;
}

export class ServerSchedule {
  readonly #nats: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #options: ServerScheduleOptions;
  readonly #digest: string;
  #timer: NodeJS.Timeout | undefined;
  #lookedAtMs = 0;

  constructor(nats: NatsConnection, manager: JetStreamManager, options: ServerScheduleOptions) {
    this.#nats = nats;
    this.#manager = manager;
    this.#options = options;
    const { fields, zone, payload, target } = options;
    this.#digest = createHash("sha256")
      .update(JSON.stringify([fields, zone, payload, target]))
      .digest("hex");
  }

  /** Puts the schedule, and keeps it there. @throws NexError `trigger_failed` */
  async start(): Promise<void> {
    await this.#keep();
    this.#timer = setInterval(() => this.#lookNow(), lookMs);
  }

  /** Looks whether the schedule is still there, unless it did a moment ago. */
  look(): void {
    if (performance.now() - this.#lookedAtMs >= looksApartMs) this.#lookNow();
  }

  #lookNow(): void {
    if (this.#timer === undefined) return;
    // A failed look is made up for by the next one.
    this.#keep().catch(() => undefined);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #keep(): Promise<void> {
    this.#lookedAtMs = performance.now();
    const { stream, subject, deployedAtMs } = this.#options;
    let found: StoredMsg | null;
    try {
      found = await this.#manager.streams.getMessage(stream, { last_by_subj: subject });
    } catch (error) {
      throw asTriggerError(error, `Cannot look for the schedule ${subject}`);
    }
    if (found !== null) {
      const isOurs = found.header.get(digestHeader) === this.#digest;
      const isNewer = Number(found.header.get(deployedHeader)) > deployedAtMs;
      const isFresh = Date.now() - found.time.getTime() < renewMs;
      if (isNewer || (isOurs && isFresh)) return;
    }
    await this.#put(found?.seq ?? 0);
  }

  /** @param lastSequence Sequence number of the schedule that it replaces. */
  async #put(lastSequence: number): Promise<void> {
    const { subject, target, fields, zone, payload, deployedAtMs } = this.#options;
    const made = headers();
    made.set("Nats-Schedule", fields);
    made.set("Nats-Schedule-Target", target);
    made.set("Nats-Schedule-TTL", tickLife);
    if (zone !== undefined) made.set("Nats-Schedule-Time-Zone", zone);
    made.set("Nats-TTL", life);
    made.set("Nats-Expected-Last-Subject-Sequence", String(lastSequence));
    made.set(digestHeader, this.#digest);
    made.set(deployedHeader, String(deployedAtMs));
    const what = `Cannot put the schedule ${subject}`;
    let answer: { error?: { err_code?: number; description?: string }; stream?: string };
    try {
      answer = (
        await this.#nats.request(subject, payload, { headers: made, timeout: jetStreamTimeMs })
      ).json();
    } catch (error) {
      throw asTriggerError(error, what);
    }
    const { error } = answer;
    if (error === undefined || error.err_code === wrongLastSequence) return;
    throw new NexError(
      "trigger_failed",
      `${what}: ${errorText(error.description ?? "the server refuses it")}`,
    );
  }
}
