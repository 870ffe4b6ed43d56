/** Subject triggers: subscriptions whose messages become calls, and whose outcomes become replies. */

import { headers, type Msg, type NatsConnection, type Subscription } from "@nats-io/nats-core";
import {
  type CallFailure,
  errorCodeHeader,
  errorHeader,
  functionQueueGroup,
} from "@nexengine/protocol/internal";
import type { FunctionCalls } from "../workloads/function-calls.ts";

/** What became of a call, for events and counters. */
export interface CallReport {
  succeeded(triggerSubject: string, runNs: number): void;
  failed(triggerSubject: string, failure: CallFailure): void;
}

/** What a set of triggers belongs to. */
export interface TriggerOwner {
  namespace: string;
  name: string;
}

const noBytes = new Uint8Array(0);

export class SubjectTriggers {
  readonly #connection: NatsConnection;
  readonly #calls: FunctionCalls;
  readonly #report: CallReport;
  readonly #subscriptions: Subscription[] = [];

  constructor(connection: NatsConnection, calls: FunctionCalls, report: CallReport) {
    this.#connection = connection;
    this.#calls = calls;
    this.#report = report;
  }

  /** Subscribes, and waits until the server has taken the subscriptions. */
  async subscribe(owner: TriggerOwner, subjects: readonly string[]): Promise<void> {
    const queue = functionQueueGroup(owner.namespace, owner.name);
    for (const subject of subjects) {
      const subscription = this.#connection.subscribe(subject, {
        queue,
        callback: (error, message) => {
          if (error === null) this.#take(subject, message);
        },
      });
      this.#subscriptions.push(subscription);
    }
    await this.#connection.flush();
  }

  #take(trigger: string, message: Msg): void {
    // What arrived is a view on the connection's chunk: a call outlives it.
    const payload = Buffer.from(message.data);
    this.#calls.accept(message.subject, payload, {
      reply: (bytes, runNs) => {
        const max = this.#connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
        if (bytes.length > max) {
          const failure: CallFailure = {
            code: 500,
            text: `the reply has ${bytes.length} bytes, the server takes ${max}`,
          };
          this.#fail(trigger, message, failure);
          return;
        }
        // The connection may keep what it is given until it flushes.
        if (message.reply) message.respond(Buffer.from(bytes));
        this.#report.succeeded(trigger, runNs);
      },
      failed: (failure) => this.#fail(trigger, message, failure),
    });
  }

  #fail(trigger: string, message: Msg, failure: CallFailure): void {
    if (message.reply && !this.#connection.isClosed()) {
      const withCode = headers();
      // One line: a header can't hold more.
      withCode.set(errorHeader, failure.text.replace(/\s+/g, " ").trim() || "failed");
      withCode.set(errorCodeHeader, String(failure.code));
      message.respond(failure.text === "" ? noBytes : Buffer.from(failure.text), { headers: withCode });
    }
    this.#report.failed(trigger, failure);
  }

  /** Takes no more messages; those that the server sent before still become calls. */
  async unsubscribe(): Promise<void> {
    if (this.#connection.isClosed()) return;
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
  }
}
