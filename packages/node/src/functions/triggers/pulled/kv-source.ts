/** The latest values of the keys of a bucket. Newer values of a key replace older ones that nobody has taken yet. */
import type { StoredTrigger } from "@nexengine/protocol/messages";
import { headerOf } from "./headers.ts";
import type { MessageSource } from "./source.ts";

const starts = { new: "new", current: "last_per_subject", history: "all" } as const;

export function kvSource(spec: Extract<StoredTrigger, { type: "kv" }>): MessageSource {
  const { bucket, keys = [">"], from = "new", deletes = true } = spec;
  return {
    stream: `KV_${bucket}`,
    filters: keys.map((key) => `$KV.${bucket}.${key}`),
    isStrict: false,
    start: () => ({ deliver_policy: starts[from] }),
    ...(deletes ? {} : { skips: isRemoval }),
  };
}

/** Deletes, purges and values that have expired come as messages with one of these headers. */
function isRemoval(message: Parameters<NonNullable<MessageSource["skips"]>>[0]): boolean {
  return (
    headerOf(message, "KV-Operation") !== undefined || headerOf(message, "Nats-Marker-Reason") !== undefined
  );
}
