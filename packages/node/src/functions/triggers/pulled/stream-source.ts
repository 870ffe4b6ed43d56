/** Messages of a stream. */
import { RetentionPolicy, type StreamInfo } from "@nats-io/jetstream";
import type { StoredTrigger } from "@nexengine/protocol/messages";
import type { ConsumerStart } from "./consumer.ts";
import type { MessageSource } from "./source.ts";

type Spec = Extract<StoredTrigger, { type: "stream" }>;

export function streamSource(spec: Spec): MessageSource {
  return {
    stream: spec.stream,
    filters: spec.filters ?? [],
    isStrict: spec.order === "strict",
    start: (info) => startOf(spec.from, info),
  };
}

function startOf(from: Spec["from"], { config }: StreamInfo): ConsumerStart {
  if (typeof from === "object") {
    return "seq" in from
      ? { deliver_policy: "by_start_sequence", opt_start_seq: from.seq }
      : { deliver_policy: "by_start_time", opt_start_time: from.time };
  }
  // A work queue takes no other.
  const isQueue = config.retention === RetentionPolicy.Workqueue;
  return { deliver_policy: from ?? (isQueue ? "all" : "new") };
}
