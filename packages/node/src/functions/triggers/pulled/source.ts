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
  /** A peculiarity of how the messages come, for people. */
  readonly remark?: string | undefined;
  /** Makes the stream ready, if that is ours. Called again after each loss. */
  prepare?(manager: JetStreamManager): Promise<void>;
  /** Starts what produces the messages, once there is a consumer for them. Called again after each loss. */
  activate?(manager: JetStreamManager): Promise<void>;
  /** Told of each message whose call has ended. */
  settled?(): void;
  /** Ends what this copy does for that. */
  deactivate?(): void;
  /** Where a new consumer starts. */
  start(info: StreamInfo): ConsumerStart;
  /** Whether a message is settled without a call. Absent when each one is called for. */
  skips?(message: TriggerMessage, delivery: Delivery): boolean;
  /** Text that the function gets beside the delivery. Absent when there is none. */
  note?(delivery: Delivery): string;
  /** Ends what produces the messages, if no other copy needs it. @param consumer Name of the trigger's consumer */
  retire?(manager: JetStreamManager, consumer: string): Promise<void>;
}
