/** Triggers of a deploy, checked before anybody is asked. */
import { NexError } from "@nexengine/protocol/errors";
import {
  checkTriggers,
  functionTypes,
  type TriggerRequest,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import { isSubscribableSubject, printable } from "@nexengine/protocol/subjects";

/** The parts of a deploy that say what invokes a function. */
export interface TriggersOfDeploy {
  name: string;
  triggerSubjects?: readonly string[];
  triggers?: readonly TriggerRequest[];
}

/** @throws NexError `triggers_required`, `triggers_not_supported`, `trigger_invalid` */
export function checkDeployTriggers(
  type: WorkloadType,
  { name, triggerSubjects: subjects = [], triggers = [] }: TriggersOfDeploy,
): void {
  const count = subjects.length + triggers.length;
  if (functionTypes.has(type) && count === 0) {
    throw new NexError("triggers_required", `Cannot deploy "${name}": a function needs at least one trigger`);
  }
  const isJob = subjects.length === 0 && triggers.every((trigger) => trigger.type === "cron");
  if (!functionTypes.has(type) && !isJob) {
    throw new NexError(
      "triggers_not_supported",
      `Cannot deploy "${name}": only functions have triggers; a service can be started by schedules alone`,
    );
  }
  const bad = subjects.find((subject) => !isSubscribableSubject(subject));
  if (bad !== undefined) {
    throw new NexError(
      "trigger_invalid",
      `Cannot deploy "${name}": "${printable(bad)}" is not a NATS subject`,
    );
  }
  checkTriggers(triggers);
}
