/** Objects of an object store. The message about an object comes when all of its parts are there. */
import type { StoredTrigger } from "@nexengine/protocol/messages";
import type { TriggerMessage } from "../trigger-connection.ts";
import type { MessageSource } from "./source.ts";

const starts = { new: "new", current: "last_per_subject" } as const;

export function objectSource(spec: Extract<StoredTrigger, { type: "object" }>): MessageSource {
  const { bucket, from = "new", deletes = true } = spec;
  return {
    stream: `OBJ_${bucket}`,
    filters: [`$O.${bucket}.M.>`],
    isStrict: false,
    start: () => ({ deliver_policy: starts[from] }),
    ...(deletes ? {} : { skips: isDeletion }),
  };
}

function isDeletion({ bytes, payloadStart, payloadEnd }: TriggerMessage): boolean {
  try {
    const parsed = JSON.parse(bytes.toString("utf8", payloadStart, payloadEnd)) as { deleted?: unknown };
    return parsed.deleted === true;
  } catch {
    return false;
  }
}
