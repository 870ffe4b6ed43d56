/**
 * Takes dead letters of a function again: a request with the dead letter becomes a call with the message as it was, and
 * the outcome is the reply. Whoever asks removes the dead letter then.
 */
import { headers, type Msg, type NatsConnection, type Subscription } from "@nats-io/nats-core";
import type { MsgHdrsImpl } from "@nats-io/nats-core/internal";
import { CallError, type CallFailure, callHeaderBytesMax, type ReplyView } from "@nexengine/protocol/agent";
import { deadHeaders, describeTrigger, errorCodeHeader, errorHeader } from "@nexengine/protocol/messages";
import { functionQueueGroup, retrySubject } from "@nexengine/protocol/subjects";
import { Call, type CallTaker, type CallTrigger } from "../../function-calls.ts";
import type { ReplyRules } from "../reply-rules.ts";
import type { CallReport } from "../subject-trigger.ts";
import type { TriggerSpec } from "../trigger.ts";

/** Parts that retries use. */
export interface RetryParts {
  owner: { namespace: string; name: string };
  nats: NatsConnection;
  calls: CallTaker;
  replies: ReplyRules;
  report: CallReport;
}

export class DeadLetterRetries {
  readonly #parts: RetryParts;
  readonly #specs: readonly TriggerSpec[];
  #subscription: Subscription | undefined;

  constructor(specs: readonly TriggerSpec[], parts: RetryParts) {
    this.#specs = specs;
    this.#parts = parts;
  }

  /** Listens. Without the permission nobody can retry, and everything else goes on. */
  start(): void {
    const { nats, owner } = this.#parts;
    this.#subscription ??= nats.subscribe(retrySubject(owner.namespace, owner.name), {
      queue: functionQueueGroup(owner.namespace, owner.name),
      callback: (error, message) => {
        if (error === null) this.#take(message);
      },
    });
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }

  #take(message: Msg): void {
    const reply = Buffer.from(message.reply ?? "");
    if (!this.#parts.replies.allows(reply, 0, reply.length)) return;
    const name = message.headers?.get(deadHeaders.trigger);
    const index = this.#specs.findIndex((spec) => spec.name === name);
    const spec = this.#specs[index];
    const subject = message.headers?.get(deadHeaders.subject) ?? "";
    if (spec === undefined || subject === "") {
      fail(message, {
        code: CallError.badCall,
        text: "it is no dead letter of one of the function's triggers",
      });
      return;
    }
    const { report } = this.#parts;
    const label = describeTrigger(spec);
    const trigger: CallTrigger = {
      index,
      replied: (call, view) => {
        message.respond(payloadOf(view));
        report.succeeded(call, label, view.runTicks);
      },
      failed: (call, failure, runTicks) => {
        fail(message, failure);
        report.failed(call, label, failure, runTicks);
      },
    };
    const call = new Call(trigger, originalOf(message, subject));
    if (call.payloadStart - call.headersStart > callHeaderBytesMax) {
      call.failed({
        code: CallError.badCall,
        text: `it has more than ${callHeaderBytesMax} bytes of headers`,
      });
    } else {
      this.#parts.calls.accept(call);
    }
  }
}

function payloadOf({ bytes, payloadStart, payloadEnd }: ReplyView): Uint8Array {
  return Buffer.from(bytes.subarray(payloadStart, payloadEnd));
}

function fail(message: Msg, { code, text }: CallFailure): void {
  const made = headers();
  made.set(errorHeader, text.replace(/\s+/g, " ").trim() || "failed");
  made.set(errorCodeHeader, String(code));
  message.respond(text, { headers: made });
}

/** The message as it was: its subject, its delivery and its own headers. */
function originalOf(message: Msg, subjectText: string): ConstructorParameters<typeof Call>[1] {
  const own = headers() as MsgHdrsImpl;
  for (const [name, values] of message.headers ?? []) {
    if (name.startsWith(deadHeaders.prefix)) continue;
    for (const value of values) own.append(name, value);
  }
  const subject = Buffer.from(subjectText);
  const delivery = Buffer.from(message.headers?.get(deadHeaders.delivery) ?? "");
  const block = own.size() === 0 ? Buffer.alloc(0) : own.encode();
  const replyEnd = subject.length + delivery.length;
  const bytes = Buffer.concat([subject, delivery, block, message.data]);
  return {
    bytes,
    ...{ subjectStart: 0, subjectEnd: subject.length, replyStart: subject.length, replyEnd },
    ...{ headersStart: replyEnd, payloadStart: replyEnd + block.length, payloadEnd: bytes.length },
  };
}
