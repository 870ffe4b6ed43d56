/** Ticks of a schedule: made by the server where it can, otherwise by every copy, each tick once. */
import { DiscardPolicy, type JetStreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { parseSchedule, type Schedule } from "@nexengine/protocol/formats";
import type { StoredTrigger } from "@nexengine/protocol/messages";
import { cronStreamName, scheduleSubject, tickSubject } from "@nexengine/protocol/subjects";
import { type Delivery, deliveryTimeMs } from "./ack-subject.ts";
import { asTriggerError, codeOf, isNoStream } from "./consumer.ts";
import { ServerSchedule } from "./server-schedule.ts";
import type { MessageSource } from "./source.ts";
import { TickPublisher } from "./tick-publisher.ts";

type Spec = Extract<StoredTrigger, { type: "cron" }>;

/** Ticks of one schedule that wait. The oldest one goes when there are more. */
const waitingTicksMax = 64;
const consumersMax = 100_000;
/** First level of the JetStream API that knows repeating schedules. */
const scheduleApiLevel = 4;
/** A tick that is later than this is missed. */
const lateMs = 60_000;
/** Error code of JetStream for a stream of that name with another configuration. */
const streamNameInUse = 10_058;

/** Whose schedule it is. */
export interface CronOwner {
  namespace: string;
  name: string;
  deployedAtMs: number;
}

export class CronSource implements MessageSource {
  readonly stream: string;
  readonly filters: readonly string[];
  readonly isStrict: boolean;
  readonly #spec: Spec;
  readonly #owner: CronOwner;
  readonly #schedule: Schedule;
  readonly #nats: NatsConnection;
  readonly #scheduleSubject: string;
  readonly #tickSubject: string;
  #isByServer = false;
  #running: ServerSchedule | TickPublisher | undefined;

  constructor(spec: Spec, owner: CronOwner, nats: NatsConnection) {
    const { namespace, name } = owner;
    this.#spec = spec;
    this.#owner = owner;
    this.#nats = nats;
    this.#schedule = parseSchedule(spec.schedule, spec.zone);
    this.#scheduleSubject = scheduleSubject(namespace, name, spec.name);
    this.#tickSubject = tickSubject(namespace, name, spec.name);
    this.stream = cronStreamName(namespace);
    this.filters = [this.#tickSubject];
    this.isStrict = spec.overlap !== "allow";
  }

  get remark(): string | undefined {
    return this.#isByServer || this.#running === undefined
      ? undefined
      : "the NATS server knows no repeating schedules, so the copies of the workload publish the ticks";
  }

  /** Makes the stream. @throws NexError `trigger_failed` */
  async prepare(manager: JetStreamManager): Promise<void> {
    try {
      const { api } = await manager.getAccountInfo();
      const canSchedule = ((api as { level?: number }).level ?? 0) >= scheduleApiLevel;
      const { allow_msg_schedules } = await this.#ensureStream(manager, canSchedule);
      // An older server takes the configuration, and leaves the part out that it does not know.
      this.#isByServer = canSchedule && allow_msg_schedules === true;
    } catch (error) {
      throw asTriggerError(error, `Cannot make the stream ${this.stream} ready`);
    }
  }

  async #ensureStream(
    manager: JetStreamManager,
    canSchedule: boolean,
  ): Promise<{ allow_msg_schedules?: boolean }> {
    const { namespace } = this.#owner;
    const abilities = canSchedule ? { allow_msg_schedules: true, allow_msg_ttl: true } : {};
    try {
      return (await manager.streams.info(this.stream)).config;
    } catch (error) {
      if (!isNoStream(error)) throw error;
    }
    try {
      const { config } = await manager.streams.add({
        name: this.stream,
        subjects: [scheduleSubject(namespace, "*", "*"), tickSubject(namespace, "*", "*")],
        description: `Schedules of the namespace ${namespace}, and their ticks`,
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        discard: DiscardPolicy.Old,
        // With one, a tick that runs would be deleted by the next.
        max_msgs_per_subject: waitingTicksMax,
        max_consumers: consumersMax,
        allow_direct: true,
        ...abilities,
      });
      return config;
    } catch (error) {
      // Another copy was quicker.
      if (codeOf(error) !== streamNameInUse) throw error;
      return (await manager.streams.info(this.stream)).config;
    }
  }

  start(): { deliver_policy: "new" } {
    return { deliver_policy: "new" };
  }

  /** @throws NexError `trigger_failed` */
  async activate(manager: JetStreamManager): Promise<void> {
    this.deactivate();
    const payload = this.#spec.payload ?? "";
    if (this.#isByServer) {
      const { fields, zone } = this.#schedule;
      this.#running = new ServerSchedule(this.#nats, manager, {
        ...{ stream: this.stream, subject: this.#scheduleSubject, target: this.#tickSubject },
        ...{ fields, zone, payload, deployedAtMs: this.#owner.deployedAtMs },
      });
    } else {
      this.#running = new TickPublisher(this.#nats, this.#tickSubject, this.#schedule, payload);
    }
    await this.#running.start();
  }

  /** A copy that was stopped meanwhile has not seen this one waiting for ticks, and may have ended the schedule. */
  settled(): void {
    this.#running?.look();
  }

  deactivate(): void {
    this.#running?.stop();
    this.#running = undefined;
  }

  /** Missed ticks: all but the last one of those that wait, or each one that is late. A tick that has failed stays. */
  skips(_: unknown, delivery: Delivery): boolean {
    if (delivery.count > 1) return false;
    if (this.#spec.missed !== "none") return delivery.pending > 0;
    const nowMs = Date.now();
    const plannedMs = this.#planned(delivery);
    return nowMs - plannedMs > lateMs || this.#schedule.next(plannedMs) <= nowMs;
  }

  note(delivery: Delivery): string {
    return String(this.#planned(delivery));
  }

  #planned(delivery: Delivery): number {
    return this.#schedule.latest(deliveryTimeMs(delivery));
  }

  /** Ends the schedule and its waiting ticks, unless another copy waits for ticks. */
  async retire(manager: JetStreamManager, consumer: string): Promise<void> {
    const { num_waiting: waiting } = await manager.consumers.info(this.stream, consumer);
    if (waiting > 0) return;
    await manager.streams.purge(this.stream, { filter: this.#scheduleSubject });
    await manager.streams.purge(this.stream, { filter: this.#tickSubject });
  }
}
