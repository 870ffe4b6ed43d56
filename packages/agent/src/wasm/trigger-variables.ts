/** Facts about a trigger as environment variables. */
import type { TriggerFacts } from "../trigger-facts.ts";

const head = "NEX_TRIGGER";

/** `timeMs` becomes `NEX_TRIGGER_TIME_MS=…`, and `size` of `object` becomes `NEX_TRIGGER_OBJECT_SIZE=…`. */
export function triggerVariables(facts: TriggerFacts): string[] {
  return variables(head, facts);
}

function variables(prefix: string, facts: TriggerFacts): string[] {
  return Object.entries(facts).flatMap(([name, value]) => {
    const full = `${prefix}_${name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase()}`;
    if (typeof value === "object") return variables(full, value);
    // A NUL would end the variable early.
    return value === undefined || `${name}${value}`.includes("\0") ? [] : [`${full}=${value}`];
  });
}
