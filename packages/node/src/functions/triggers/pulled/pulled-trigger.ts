/** A trigger on stored messages: each is given to one copy again and again until a call returns, or it is given up. */
import { setImmediate as turn } from "node:timers/promises";
import { type JetStreamManager, jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { type CallFailure, callHeaderBytesMax, type ReplyView } from "@nexengine/protocol/agent";
import { errorText, type NexError } from "@nexengine/protocol/errors";
import {
  backoffMsOtherwise,
  describeTrigger,
  type StoredTrigger,
  triggerBounds,
} from "@nexengine/protocol/messages";
import { triggerConsumerName } from "@nexengine/protocol/subjects";
import type { Share } from "../../../budget/quota.ts";
import { jetStreamTimeMs } from "../../../connections/buckets.ts";
import { Call, type CallTaker, type CallTrigger } from "../../function-calls.ts";
import type { StreamRules } from "../stream-rules.ts";
import type { CallReport } from "../subject-trigger.ts";
import type { Trigger, TriggerHealth, TriggerState } from "../trigger.ts";
import type { TriggerConnection, TriggerMessage } from "../trigger-connection.ts";
import { type Delivery, type DeliveryCounts, parseAckSubject, readCounts } from "./ack-subject.ts";
import { asTriggerError, ensureConsumer, isNoConsumer, isNoStream } from "./consumer.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Puller, type PullerOwner } from "./puller.ts";
import { Reconciler } from "./reconciler.ts";
import { Settlement, type SettlementParts } from "./settlement.ts";
import type { MessageSource } from "./source.ts";
import { WaitingCalls } from "./waiting-calls.ts";

/** Messages that may be asked for at once. */
const askedMax = 1_024;
/** Bytes that asked messages may take, as far as their size can be foreseen. */
const askedBytesMax = 16 * 1024 * 1024;
/** Size at which the first messages are taken to be. */
const firstMessageBytes = 65_536;
const meanWeight = 1 / 16;
/** Failed calls in a row after which one message is tried at a time. */
const failuresMax = 20;
/** Delay of a message for which the node has no memory. */
const noMemoryMs = 1_000;
const confirmAttemptsMax = 6;
/** Interval of looking at the consumer. */
const inspectMs = 60_000;

/** The function of a trigger. */
interface PulledTriggerOwner {
  id: string;
  namespace: string;
  name: string;
  /** Time of the deploy. */
  deployedAtMs: number;
}

/** Parts that a pulled trigger uses. */
export interface PulledTriggerParts {
  owner: PulledTriggerOwner;
  nats: NatsConnection;
  connection: TriggerConnection;
  calls: CallTaker;
  rules: StreamRules;
  report: CallReport;
  /** Share of the budget for messages that wait for a place. */
  held: Share;
}

export class PulledTrigger implements Trigger, CallTrigger, PullerOwner {
  readonly spec: StoredTrigger;
  readonly index: number;
  readonly #parts: PulledTriggerParts;
  readonly #source: MessageSource;
  /** For events and logs. */
  readonly #label: string;
  readonly #consumer: string;
  readonly #settlement: Settlement;
  readonly #puller: Puller;
  readonly #deadLetters: DeadLetters | undefined;
  readonly #reconciler: Reconciler;
  readonly #unfollow: (() => void)[] = [];
  #manager: JetStreamManager | undefined;
  #state: TriggerState = "stopped";
  #problem: string | undefined;
  #streamCreated = "";
  readonly #waiting: WaitingCalls;
  #meanBytes = firstMessageBytes;
  /** Why acks do not reach the server. One message at a time is tried then. */
  #deniedAcks: string | undefined;
  #pending: number | undefined;
  /** Numbers of the message that is being taken. */
  readonly #counts: DeliveryCounts = { deliveries: 1, pending: 0 };
  /** Set when nothing comes for a reason that only the server shows. */
  #remark: string | undefined;
  #inspection: NodeJS.Timeout | undefined;

  /** @param index Its place in the deploy. */
  constructor(spec: StoredTrigger, index: number, source: MessageSource, parts: PulledTriggerParts) {
    this.spec = spec;
    this.index = index;
    this.#source = source;
    this.#label = describeTrigger(spec);
    this.#parts = parts;
    const { owner, nats, connection } = parts;
    const { namespace, name: workload, id: workloadId } = owner;
    this.#consumer = triggerConsumerName(namespace, workload, spec.name);
    this.#deadLetters =
      spec.dead === "drop"
        ? undefined
        : new DeadLetters(nats, { namespace, workload, workloadId, trigger: spec.name }, spec.dead);
    this.#settlement = new Settlement(this.#settlementParts());
    this.#puller = new Puller(
      connection,
      `$JS.API.CONSUMER.MSG.NEXT.${source.stream}.${this.#consumer}`,
      this,
    );
    this.#waiting = new WaitingCalls(parts.calls, parts.held, () => this.#puller.more());
    this.#reconciler = new Reconciler(() => this.#reconcile());
  }

  #settlementParts(): SettlementParts {
    const { spec } = this;
    const { nats, connection, report } = this.#parts;
    const letters = this.#deadLetters;
    return {
      connection,
      policy: {
        attempts: spec.attempts ?? triggerBounds.attempts.otherwise,
        backoffMs: spec.backoff_ms ?? backoffMsOtherwise,
        ackWaitMs: spec.ack_wait_ms ?? triggerBounds.ack_wait_ms.otherwise,
        confirm: spec.confirm ?? false,
      },
      keep: letters && ((call, delivery, reason) => letters.publish(call, delivery, reason)),
      confirm: async (subject) => {
        for (let attempt = 1; ; attempt++) {
          try {
            await nats.request(subject, "+ACK", { timeout: jetStreamTimeMs });
            return;
          } catch (error) {
            if (attempt === confirmAttemptsMax || nats.isClosed()) throw error;
          }
        }
      },
      events: {
        settled: () => this.#puller.more(),
        dead: (delivery, reason, isKept) => report.messageDead(spec, delivery, reason, isKept),
        // Messages that are asked for already would come together.
        careful: () => {
          if (this.#state === "active" && this.#puller.isPulling) this.#puller.start();
        },
        deadTrouble: (why) => this.#setProblem(why),
      },
    };
  }

  get health(): TriggerHealth {
    const { counters, size, lastError } = this.#settlement;
    const isActive = this.#state === "active";
    const isFull = isActive && this.#parts.calls.room === 0;
    const remark = this.#remark ?? this.#source.remark;
    const state = isActive && this.#problem !== undefined ? "unreachable" : isFull ? "full" : this.#state;
    return {
      state,
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
      counters: { ...counters, in_flight: size },
      ...(this.#pending === undefined ? {} : { pending: this.#pending }),
      ...(lastError === undefined ? {} : { lastError }),
      ...(remark === undefined ? {} : { remark }),
    };
  }

  /** @throws NexError `trigger_source_missing`, `trigger_denied`, `trigger_failed` */
  async start(isRestored = false): Promise<void> {
    if (this.#state !== "stopped") return;
    this.#state = "starting";
    let obstacle: NexError | undefined;
    try {
      await this.#prepare();
    } catch (error) {
      obstacle = asTriggerError(error, `Cannot start the trigger ${this.spec.name}`);
      const mayWait = isRestored && obstacle.code !== "trigger_denied";
      if (!mayWait) {
        this.#state = "stopped";
        throw obstacle;
      }
    }
    // It was stopped meanwhile.
    if ((this.#state as TriggerState) !== "starting") return;
    this.#follow();
    this.#state = "active";
    if (obstacle === undefined) this.#puller.start();
    else this.ended(obstacle.message);
  }

  async #prepare(): Promise<void> {
    const { nats } = this.#parts;
    const { stream } = this.#source;
    this.#manager ??= await jetstreamManager(nats, { timeout: jetStreamTimeMs, checkAPI: false });
    await this.#source.prepare?.(this.#manager);
    await this.#deadLetters?.prepare(this.#manager);
    const info = await this.#manager.streams.info(stream);
    await this.#takeStream(this.#manager, info, false);
    await this.#source.activate?.(this.#manager);
  }

  /** @param isRemade Whether the stream took the place of another one, so that all of its messages are new. */
  async #takeStream(manager: JetStreamManager, info: StreamInfo, isRemade: boolean): Promise<void> {
    const { owner, rules } = this.#parts;
    const source = this.#source;
    rules.check(this.spec, info.config, source.filters);
    await ensureConsumer(
      manager,
      source.stream,
      {
        namespace: owner.namespace,
        workload: owner.name,
        trigger: this.spec.name,
        deployedAtMs: owner.deployedAtMs,
      },
      {
        filters: source.filters,
        start: isRemade ? { deliver_policy: "all" } : source.start(info),
        ackWaitMs: this.spec.ack_wait_ms ?? triggerBounds.ack_wait_ms.otherwise,
        maxPending: source.isStrict ? 1 : (this.spec.max_pending ?? triggerBounds.max_pending.otherwise),
      },
    );
    this.#streamCreated = info.created;
  }

  #follow(): void {
    const { connection } = this.#parts;
    const acks = `$JS.ACK.${this.#source.stream}.${this.#consumer}.`;
    this.#inspection = setInterval(() => void this.#inspect(), inspectMs);
    this.#unfollow.push(
      connection.onReconnect(() => {
        this.#settlement.reconnected();
        if (this.#state === "active") this.#puller.start();
      }),
      connection.onPublishDenied((subject) => {
        const isAck = subject.startsWith(acks);
        if (!isAck && subject !== this.#puller.subject) return;
        const why = `NATS does not permit the user to publish on ${isAck ? `${acks}>` : subject}`;
        if (isAck) this.#deniedAcks = why;
        this.#puller.pullLater(why);
      }),
    );
  }

  /** A full or paused consumer looks to a puller as if there were no messages. */
  async #inspect(): Promise<void> {
    try {
      const info = await this.#manager?.consumers.info(this.#source.stream, this.#consumer);
      if (info === undefined) return;
      this.#pending = info.num_pending;
      const max = info.config.max_ack_pending ?? 0;
      this.#remark =
        info.paused === true
          ? "the consumer is paused on the NATS server"
          : max > 1 && info.num_ack_pending >= max
            ? `${max} messages wait for another attempt or their ack, which is the most (max_pending)`
            : undefined;
    } catch {
      // The puller finds out what is wrong.
    }
  }

  async pause(): Promise<void> {
    if (this.#state !== "active") return;
    this.#state = "paused";
    this.#source.deactivate?.();
    await this.#puller.stop();
  }

  async resume(): Promise<void> {
    if (this.#state !== "paused") return;
    this.#state = "active";
    // It may be gone with the last copy that was not paused.
    if (this.#source.activate === undefined) this.#puller.start();
    else this.#reconciler.start();
  }

  async drain(): Promise<void> {
    if (this.#state === "stopped" || this.#state === "draining") return;
    this.#state = "draining";
    this.#reconciler.stop();
    clearInterval(this.#inspection);
    this.#source.deactivate?.();
    await this.#puller.stop();
    for (const call of this.#waiting.clear()) this.#settlement.again(call, 0);
  }

  async stop(): Promise<void> {
    await this.drain();
    for (const unfollow of this.#unfollow.splice(0)) unfollow();
    this.#state = "stopped";
  }

  /** Ends what produces the messages, if no other copy needs it. For a workload that ends for good. */
  async retire(): Promise<void> {
    if (this.#manager === undefined) return;
    await this.#source.retire?.(this.#manager, this.#consumer);
  }

  // For the puller.

  wanted(open: number): number {
    const { calls } = this.#parts;
    if (this.#state !== "active" || this.#settlement.isStuck) return 0;
    const { room } = calls;
    if (room === 0) {
      this.#waiting.awaitRoom();
      return 0;
    }
    const inHand = this.#settlement.size + open;
    const { isCareful, failuresInRow } = this.#settlement;
    const isOneByOne = this.#source.isStrict || isCareful || this.#deniedAcks !== undefined;
    if (isOneByOne || failuresInRow >= failuresMax) return inHand === 0 ? 1 : 0;
    const most = Math.min(room, askedMax, Math.max(1, Math.floor(askedBytesMax / this.#meanBytes)));
    return most - open - this.#waiting.size;
  }

  take(message: TriggerMessage): void {
    const call = new Call(this, message);
    this.#meanBytes += (call.size - this.#meanBytes) * meanWeight;
    this.#settlement.took(call);
    readCounts(call.bytes, call.replyStart, call.replyEnd, this.#counts);
    this.#pending = this.#counts.pending;
    try {
      this.#takeCall(call);
    } catch (error) {
      // An exception must not reach the connection, which would stop reading.
      this.#settlement.failed(call, { code: 503, text: `the node could not take it: ${errorText(error)}` });
    }
  }

  #takeCall(call: Call): void {
    const { attempts = triggerBounds.attempts.otherwise } = this.spec;
    const { deliveries: count } = this.#counts;
    const headerBytes = call.payloadStart - call.headersStart;
    if (attempts > 0 && count > attempts) {
      this.#settlement.giveUp(call, `it was delivered ${count} times without an outcome`);
    } else if (headerBytes > callHeaderBytesMax) {
      this.#settlement.giveUp(
        call,
        `it has ${headerBytes} bytes of headers, a function takes ${callHeaderBytesMax}`,
      );
    } else if (this.#state === "draining" || this.#state === "stopped") {
      this.#settlement.again(call, 0);
    } else if (!this.#skips(call)) {
      this.#give(call);
    }
  }

  #skips(call: Call): boolean {
    const { skips, note } = this.#source;
    if (skips === undefined && note === undefined) return false;
    const delivery = this.#deliveryOf(call);
    if (delivery === undefined) return false;
    if (this.#source.skips?.(call, delivery) === true) {
      this.#settlement.ack(call);
      return true;
    }
    if (note !== undefined) call.addNote(this.#source.note?.(delivery) ?? "");
    return false;
  }

  #deliveryOf({ bytes, replyStart, replyEnd }: Call): Delivery | undefined {
    return parseAckSubject(bytes.toString("latin1", replyStart, replyEnd));
  }

  #give(call: Call): void {
    if (!this.#waiting.give(call)) this.#settlement.again(call, noMemoryMs);
  }

  unanswered(why: string): void {
    this.#setProblem(why);
    this.#reconciler.start();
  }

  answered(): void {
    if (this.#deniedAcks === undefined) this.#setProblem(undefined);
  }

  /** Finds out whether an ack got through, after one that did not. */
  async #tryAck(): Promise<void> {
    this.#deniedAcks = undefined;
    try {
      await this.#parts.connection.flush();
      // The library reports a refusal within the turn in which it reads it.
      await turn();
    } catch {
      return;
    }
    if (this.#deniedAcks === undefined) this.answered();
  }

  ended(why: string): void {
    this.#setProblem(why);
    this.#reconciler.start();
  }

  /** Looks at stream and consumer. @returns whether nothing more is to be done */
  async #reconcile(): Promise<boolean> {
    if (this.#state !== "active") return true;
    const { stream } = this.#source;
    try {
      const manager = this.#manager;
      if (manager === undefined || this.#streamCreated === "") await this.#prepare();
      else await this.#lookAtConsumer(manager, stream);
    } catch (error) {
      if (isNoConsumer(error)) {
        this.#fail(`its consumer ${this.#consumer} was deleted; a new deploy makes another`);
        return true;
      }
      this.#setProblem(isNoStream(error) ? `there is no stream ${stream}` : errorText(error));
      return false;
    }
    if (this.#state !== "active") return true;
    if (!this.#puller.isPulling) {
      this.#setProblem(undefined);
      this.#puller.start();
    }
    return true;
  }

  async #lookAtConsumer(manager: JetStreamManager, stream: string): Promise<void> {
    await this.#source.prepare?.(manager);
    const info = await manager.streams.info(stream);
    if (info.created === this.#streamCreated) await manager.consumers.info(stream, this.#consumer);
    else await this.#takeStream(manager, info, true);
    await this.#source.activate?.(manager);
  }

  #fail(reason: string): void {
    this.#state = "failed";
    this.#source.deactivate?.();
    this.#setProblem(reason);
    void this.#puller.stop();
  }

  #setProblem(problem: string | undefined): void {
    const had = this.#problem;
    this.#problem = problem;
    if ((had === undefined) === (problem === undefined)) return;
    if (problem === undefined) this.#parts.report.triggerRecovered(this.spec);
    else this.#parts.report.triggerFailed(this.spec, problem);
  }

  // For the calls.

  replied(call: Call, { runTicks }: ReplyView): void {
    this.#settlement.ack(call);
    this.#source.settled?.();
    if (this.#deniedAcks !== undefined) void this.#tryAck();
    this.#parts.report.succeeded(call, this.#label, runTicks);
  }

  failed(call: Call, failure: CallFailure, runTicks: number): void {
    // Ended with the function: another copy takes it at once.
    if (this.#state === "draining" || this.#state === "stopped") this.#settlement.again(call, 0);
    else {
      this.#settlement.failed(call, failure);
      this.#source.settled?.();
    }
    this.#parts.report.failed(call, this.#label, failure, runTicks);
  }
}
