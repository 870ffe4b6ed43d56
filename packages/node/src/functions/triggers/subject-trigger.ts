/** A trigger on a core NATS subject: messages become calls, outcomes become replies. */
import {
  CallError,
  type CallFailure,
  callHeaderBytesMax,
  type ReplyView,
  runTickNs,
} from "@nexengine/protocol/agent";
import { errorText } from "@nexengine/protocol/errors";
import { errorCodeHeader, errorHeader } from "@nexengine/protocol/messages";
import { functionQueueGroup } from "@nexengine/protocol/subjects";
import { LastingSubscription } from "../../connections/lasting-subscription.ts";
import { Call, type CallTrigger, type FunctionCalls } from "../function-calls.ts";
import type { Delivery } from "./pulled/ack-subject.ts";
import type { ReplyRules } from "./reply-rules.ts";
import type {
  CallStats,
  SubjectTriggerSpec,
  Trigger,
  TriggerHealth,
  TriggerSpec,
  TriggerState,
} from "./trigger.ts";
import type { TriggerConnection, TriggerMessage } from "./trigger-connection.ts";

/** Outcomes of calls, for events and counters. */
export interface CallReport {
  succeeded(call: Call, triggerSubject: string, runTicks: number): void;
  failed(call: Call, triggerSubject: string, failure: CallFailure, runTicks: number): void;
  /** A reply was not sent, because its subject is not allowed. */
  replyDenied(replySubject: string): void;
  /** A reply was dropped, because the NATS server is gone or does not read. */
  replyDropped(): void;
  /** NATS refuses the subscription of a trigger that was active. */
  triggerRefused(triggerSubject: string): void;
  triggerBack(triggerSubject: string): void;
  /** A trigger does not fire, and is tried again or not. */
  triggerFailed(trigger: TriggerSpec, reason: string): void;
  triggerRecovered(trigger: TriggerSpec): void;
  /** A message was given up. @param isKept Whether there is a dead letter */
  messageDead(trigger: TriggerSpec, delivery: Delivery, reason: string, isKept: boolean): void;
}

/** The function of a trigger. */
interface TriggerOwner {
  namespace: string;
  name: string;
}

/** Parts that a subject trigger uses. */
export interface SubjectTriggerParts {
  owner: TriggerOwner;
  connection: TriggerConnection;
  calls: FunctionCalls;
  replies: ReplyRules;
  report: CallReport;
  /** The trigger of a message, where several share the subject; the subject's own where it knows none. */
  triggerOf?(message: TriggerMessage): CallTrigger | undefined;
}

export class SubjectTrigger implements Trigger, CallTrigger {
  readonly spec: SubjectTriggerSpec;
  /** The subject shows the trigger. */
  readonly index = -1;
  readonly #connection: TriggerConnection;
  readonly #calls: FunctionCalls;
  readonly #replies: ReplyRules;
  readonly #report: CallReport;
  readonly #queue: string;
  readonly #triggerOf: SubjectTriggerParts["triggerOf"];
  readonly #stats: CallStats = { requests: 0, errors: 0, lastError: "", runNs: 0 };
  #state: TriggerState = "stopped";
  #subscription: LastingSubscription | undefined;
  /** The end of the last leave: the server has sent all that it had for the subscription. */
  #left: Promise<void> | undefined;

  constructor(spec: SubjectTriggerSpec, parts: SubjectTriggerParts) {
    const { owner, connection, calls, replies, report, triggerOf } = parts;
    this.spec = spec;
    this.#triggerOf = triggerOf;
    this.#connection = connection;
    this.#calls = calls;
    this.#replies = replies;
    this.#report = report;
    this.#queue = functionQueueGroup(owner.namespace, owner.name);
    if (spec.when_full !== "refuse") calls.marks.onChange(() => this.#fitToRoom());
  }

  get callStats(): CallStats {
    return this.#stats;
  }

  get health(): TriggerHealth {
    const isOn = this.#state === "active" || this.#state === "full";
    if (isOn && this.#connection.isClosed) return { state: this.#state, problem: "its connection is closed" };
    if (this.#subscription?.isDenied === true)
      return { state: this.#state, problem: "NATS does not permit the subscription; it is tried again" };
    return { state: this.#state };
  }

  async start(): Promise<void> {
    if (this.#state !== "stopped") return;
    await this.#subscribe();
  }

  async pause(): Promise<void> {
    if (this.#state !== "active" && this.#state !== "full") return;
    this.#state = "paused";
    await this.#unsubscribe();
  }

  async resume(): Promise<void> {
    if (this.#state !== "paused") return;
    await this.#subscribe();
    this.#fitToRoom();
  }

  async drain(): Promise<void> {
    if (this.#state === "stopped") return;
    this.#state = "draining";
    await this.#unsubscribe();
  }

  async stop(): Promise<void> {
    await this.drain();
    this.#state = "stopped";
  }

  /** Returns once the server has the subscription. */
  async #subscribe(): Promise<void> {
    this.#join();
    await this.#connection.flush();
  }

  #join(): void {
    this.#state = "active";
    const { subject } = this.spec;
    const take = (message: TriggerMessage): void =>
      this.#take(new Call(this.#triggerOf?.(message) ?? this, message));
    this.#subscription = new LastingSubscription(
      this.#connection,
      subject,
      () => this.#connection.subscribe(subject, this.#queue, take),
      {
        refused: () => this.#report.triggerRefused(subject),
        back: () => this.#report.triggerBack(subject),
      },
    );
  }

  async #unsubscribe(): Promise<void> {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    await Promise.all([subscription?.drain(), this.#left]);
  }

  /** Leaves the queue group while the function is full, and joins it again. One round trip at the least lies between. */
  #fitToRoom(): void {
    const { isFull } = this.#calls.marks;
    if (this.#state === "active" && isFull && this.#left === undefined) {
      this.#state = "full";
      this.#left = this.#leave();
    } else if (this.#state === "full" && !isFull && this.#left === undefined) this.#join();
  }

  /** Messages that the server has sent already still become calls. */
  async #leave(): Promise<void> {
    try {
      await this.#unsubscribe();
    } catch {
      // The connection is away: nats.js has dropped the subscription.
    }
    this.#left = undefined;
    this.#fitToRoom();
  }

  #take(call: Call): void {
    const headerBytes = call.payloadStart - call.headersStart;
    if (headerBytes > callHeaderBytesMax) {
      const text = `the request has ${headerBytes} bytes of headers, a function takes ${callHeaderBytesMax}`;
      call.failed({ code: CallError.badCall, text });
      return;
    }
    try {
      this.#calls.accept(call);
    } catch (error) {
      // An exception must not reach the connection, which would stop reading.
      call.failed({ code: CallError.stopped, text: `the node could not take the call: ${errorText(error)}` });
    }
  }

  replied(call: Call, reply: ReplyView): void {
    const { runTicks } = reply;
    const size = reply.payloadEnd - reply.headersStart;
    const max = this.#connection.payloadBytesMax;
    if (size > max) {
      const text = `the reply has ${size} bytes, the server takes ${max}`;
      this.failed(call, { code: CallError.threw, text }, runTicks);
      return;
    }
    if (this.#mayReply(call) && !this.#connection.publish(call, reply)) this.#report.replyDropped();
    this.#stats.requests++;
    this.#stats.runNs += runTicks * runTickNs;
    this.#report.succeeded(call, this.spec.subject, runTicks);
  }

  failed(call: Call, failure: CallFailure, runTicks: number): void {
    if (this.#mayReply(call)) {
      // One line, because a header has no more.
      const line = failure.text.replace(/\s+/g, " ").trim() || "failed";
      const headers = Buffer.from(
        `NATS/1.0\r\n${errorHeader}: ${line}\r\n${errorCodeHeader}: ${failure.code}\r\n\r\n`,
      );
      const bytes = Buffer.concat([headers, Buffer.from(failure.text)]);
      const content = { headersStart: 0, payloadStart: headers.length, payloadEnd: bytes.length };
      if (!this.#connection.publish(call, { bytes, ...content })) this.#report.replyDropped();
    }
    this.#stats.requests++;
    this.#stats.errors++;
    this.#stats.runNs += runTicks * runTickNs;
    this.#stats.lastError = `${failure.code}:${failure.text}`;
    this.#report.failed(call, this.spec.subject, failure, runTicks);
  }

  #mayReply({ bytes, replyStart, replyEnd }: Call): boolean {
    if (replyEnd <= replyStart) return false;
    if (this.#replies.allows(bytes, replyStart, replyEnd)) return true;
    this.#report.replyDenied(bytes.toString("utf8", replyStart, replyEnd));
    return false;
  }
}
