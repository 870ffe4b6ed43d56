/** TRIGGER: pauses a trigger of a function, or lets it go on. */
import { NexError } from "@nexengine/protocol/errors";
import { parseJson } from "@nexengine/protocol/formats";
import {
  describeTrigger,
  type TriggerStatus,
  triggerActionRequestSchema,
} from "@nexengine/protocol/messages";
import { parseNodeRequestSubject } from "@nexengine/protocol/subjects";
import { admitTriggerAction, invalidTriggerAction } from "../admission/admit-trigger-action.ts";
import type { TriggerList } from "../functions/trigger-list.ts";
import type { ActionContext } from "./context.ts";
import { useUp } from "./use-up.ts";

/** @throws NexError */
export async function triggerAction(
  context: ActionContext,
  subject: string,
  body: Uint8Array,
): Promise<object> {
  const { namespace } = parseNodeRequestSubject(subject);
  const request = parseJson(body, triggerActionRequestSchema, "Unable to deserialize trigger request");
  const { workload_id: id, trigger: name, action } = request;
  const workload = context.workloads.find(id);
  const token = admitTriggerAction(namespace, request, workload, context.deployFacts(namespace));
  await useUp(context.usedTokens, invalidTriggerAction, token);
  const triggers = workload?.triggers;
  if (workload === undefined || triggers === undefined) {
    throw new NexError("no_such_trigger", `There is no trigger "${name}": the workload has none`);
  }
  await context.workloads.pauseTrigger(workload, name, action === "pause");
  const trigger = describeTriggers(triggers).find((one) => one.name === name);
  return { id, trigger };
}

/** Maximum length of a text of a workload's. */
const textCharactersMax = 512;

/** Triggers as INFO shows them. */
export function describeTriggers(triggers: TriggerList): TriggerStatus[] {
  return triggers.statuses.map(({ spec, health }) => {
    const { state, problem, counters, pending, lastError, remark } = health;
    return {
      ...{ name: spec.name, type: spec.type, on: describeTrigger(spec), state },
      ...(problem === undefined ? {} : { problem: problem.slice(0, textCharactersMax) }),
      ...counters,
      ...(pending === undefined ? {} : { pending }),
      ...(lastError === undefined ? {} : { last_error: lastError.slice(0, textCharactersMax) }),
      ...(remark === undefined ? {} : { remark }),
    };
  });
}
