/** Subject triggers: subscriptions whose messages become calls, and whose outcomes become replies. */
import {
  CallError,
  type CallFailure,
  callHeaderBytesMax,
  errorCodeHeader,
  errorHeader,
  errorText,
  functionQueueGroup,
} from "@nexengine/protocol/internal";
import { Call, type CallTrigger, type FunctionCalls } from "../function-calls.ts";
import type { ReplyRules } from "./reply-rules.ts";
import type { TriggerConnection, TriggerSubscription } from "./trigger-connection.ts";

/** What became of a call, for events and counters. */
export interface CallReport {
  succeeded(call: Call, triggerSubject: string, runTicks: number): void;
  failed(call: Call, triggerSubject: string, failure: CallFailure, runTicks: number): void;
  /** A reply was not sent, since it may not go to the subject that its caller named. */
  replyDenied(replySubject: string): void;
}

/** What a set of triggers belongs to. */
export interface TriggerOwner {
  namespace: string;
  name: string;
}

export class SubjectTriggers {
  readonly #connection: TriggerConnection;
  readonly #calls: FunctionCalls;
  readonly #replies: ReplyRules;
  readonly #report: CallReport;
  readonly #subscriptions: TriggerSubscription[] = [];

  constructor(connection: TriggerConnection, calls: FunctionCalls, replies: ReplyRules, report: CallReport) {
    this.#connection = connection;
    this.#calls = calls;
    this.#replies = replies;
    this.#report = report;
  }

  /** Subscribes, and waits until the server has taken the subscriptions. */
  async subscribe(owner: TriggerOwner, subjects: readonly string[]): Promise<void> {
    const queue = functionQueueGroup(owner.namespace, owner.name);
    for (const subject of subjects) {
      const trigger = new SubjectTrigger(subject, this.#connection, this.#replies, this.#report);
      this.#subscriptions.push(
        this.#connection.subscribe(subject, queue, (...place) => this.#take(new Call(trigger, ...place))),
      );
    }
    await this.#connection.flush();
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
      // It must not reach the connection, which would read no more.
      call.failed({ code: CallError.stopped, text: `the node could not take the call: ${errorText(error)}` });
    }
  }

  /** Takes no more messages; those that the server sent before still become calls. */
  async unsubscribe(): Promise<void> {
    if (this.#connection.isClosed) return;
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
  }
}

class SubjectTrigger implements CallTrigger {
  readonly #subject: string;
  readonly #connection: TriggerConnection;
  readonly #replies: ReplyRules;
  readonly #report: CallReport;

  constructor(subject: string, connection: TriggerConnection, replies: ReplyRules, report: CallReport) {
    this.#subject = subject;
    this.#connection = connection;
    this.#replies = replies;
    this.#report = report;
  }

  replied(
    call: Call,
    bytes: Buffer,
    headersStart: number,
    payloadStart: number,
    payloadEnd: number,
    runTicks: number,
  ): void {
    const size = payloadEnd - headersStart;
    const max = this.#connection.payloadBytesMax;
    if (size > max) {
      const text = `the reply has ${size} bytes, the server takes ${max}`;
      this.failed(call, { code: CallError.threw, text }, runTicks);
      return;
    }
    if (this.#mayReply(call)) {
      const { bytes: message, replyStart, replyEnd } = call;
      this.#connection.publish(message, replyStart, replyEnd, bytes, headersStart, payloadStart, payloadEnd);
    }
    this.#report.succeeded(call, this.#subject, runTicks);
  }

  failed(call: Call, failure: CallFailure, runTicks: number): void {
    if (this.#mayReply(call)) {
      // One line: a header can't hold more.
      const line = failure.text.replace(/\s+/g, " ").trim() || "failed";
      const headers = Buffer.from(
        `NATS/1.0\r\n${errorHeader}: ${line}\r\n${errorCodeHeader}: ${failure.code}\r\n\r\n`,
      );
      const bytes = Buffer.concat([headers, Buffer.from(failure.text)]);
      const { bytes: message, replyStart, replyEnd } = call;
      this.#connection.publish(message, replyStart, replyEnd, bytes, 0, headers.length, bytes.length);
    }
    this.#report.failed(call, this.#subject, failure, runTicks);
  }

  #mayReply({ bytes, replyStart, replyEnd }: Call): boolean {
    if (replyEnd <= replyStart) return false;
    if (this.#replies.allows(bytes, replyStart, replyEnd)) return true;
    this.#report.replyDenied(bytes.toString("utf8", replyStart, replyEnd));
    return false;
  }
}
