/** The seam between the puller and the kinds of trigger that a stream stands behind. */
import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import type { TriggerMessage } from "../trigger-connection.ts";
import type { Delivery } from "./ack-subject.ts";
import type { ConsumerStart } from "./consumer.ts";

/** One kind of trigger, for the puller. */
export interface MessageSource {
  /** Stream of the messages. */
  readonly stream: string;
  /** Subjects of the messages; all of the stream when empty. */
  readonly filters: readonly string[];
  /** Whether one message is handled at a time, over all copies. */
  readonly isStrict: boolean;
  /** Makes ready what produces the messages, if that is ours. Called again after each loss. */
  prepare?(manager: JetStreamManager): Promise<void>;
  /** Where a new consumer starts. */
  start(info: StreamInfo): ConsumerStart;
  /** Whether a message is settled without a call. Absent when each one is called for. */
  skips?(message: TriggerMessage, delivery: Delivery): boolean;
  /** Text that the function gets beside the delivery. Absent when there is none. */
  note?(delivery: Delivery): string;
  /** Ends what produces the messages, if no other copy needs it. */
  retire?(manager: JetStreamManager): Promise<void>;
}
