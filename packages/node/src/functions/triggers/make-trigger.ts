/** Makes triggers of each kind. */
import type { HttpGate } from "./http/http-trigger.ts";
import { CronSource } from "./pulled/cron-source.ts";
import { kvSource } from "./pulled/kv-source.ts";
import { objectSource } from "./pulled/object-source.ts";
import { PulledTrigger, type PulledTriggerParts } from "./pulled/pulled-trigger.ts";
import { streamSource } from "./pulled/stream-source.ts";
import { SubjectTrigger, type SubjectTriggerParts } from "./subject-trigger.ts";
import type { Trigger, TriggerSpec } from "./trigger.ts";

/** Parts of all kinds. */
export type TriggerParts = SubjectTriggerParts & PulledTriggerParts & { http: HttpGate };

/** Makes one trigger, stopped. @param index Its place in the deploy */
export function makeTrigger(spec: TriggerSpec, index: number, parts: TriggerParts): Trigger {
  switch (spec.type) {
    case "subject":
      return new SubjectTrigger(spec, parts);
    case "stream":
      return new PulledTrigger(spec, index, streamSource(spec), parts);
    case "kv":
      return new PulledTrigger(spec, index, kvSource(spec), parts);
    case "object":
      return new PulledTrigger(spec, index, objectSource(spec), parts);
    case "http":
      return parts.http.trigger(spec, index);
    case "cron":
      return new PulledTrigger(spec, index, new CronSource(spec, parts.owner, parts.nats), parts);
  }
}
