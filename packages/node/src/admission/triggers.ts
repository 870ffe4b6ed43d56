/** Admission of triggers: their kinds, and the subjects and streams that a namespace may use. */
import { NexError } from "@nexengine/protocol/errors";
import {
  type DeployExtras,
  functionTypes,
  type NamedTrigger,
  nameTriggers,
  type TriggerRequest,
  triggersMax,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import {
  alwaysDeniedTrigger,
  deniedTriggerSubjects,
  isSubscribableSubject,
  overlapping,
  printable,
} from "@nexengine/protocol/subjects";
import type { NamespaceRules } from "../config/namespaces.ts";
import { checkDenied } from "../functions/triggers/stream-rules.ts";
import type { GrantedLimits } from "../workloads/spec.ts";

/** The node's facts for triggers. */
export interface TriggerFacts {
  rules: Pick<NamespaceRules, "denyTriggerSubjects">;
  inboxPrefixes: readonly string[];
}

/**
 * Checks that a service which schedules start asks for nothing that only a lasting one has.
 *
 * @throws NexError `trigger_invalid`
 */
export function checkJob(
  isEssential: boolean,
  { restart, health }: Pick<DeployExtras, "restart" | "health">,
  { publish }: Pick<GrantedLimits, "publish">,
): void {
  const why =
    isEssential || restart !== undefined
      ? "it is not restarted, its tick comes again"
      : health !== undefined
        ? "it has no health check, its exit status tells"
        : publish.length > 0
          ? "it publishes no ports"
          : undefined;
  if (why === undefined) return;
  throw new NexError("trigger_invalid", `Cannot start a service by a schedule: as a job, ${why}`);
}

/**
 * Names and checks the triggers of a deploy.
 *
 * @param subjects Those of Go Nex, which come first.
 * @throws NexError `triggers_not_supported`, `triggers_required`, `trigger_invalid`, `trigger_denied`
 */
export function admitTriggers(
  type: WorkloadType,
  subjects: readonly string[],
  requested: readonly TriggerRequest[],
  facts: TriggerFacts,
): NamedTrigger[] {
  if (!functionTypes.has(type)) {
    if (subjects.length === 0 && requested.every((trigger) => trigger.type === "cron"))
      return nameTriggers(requested);
    throw new NexError(
      "triggers_not_supported",
      `Unsupported workload type for trigger subject registration: ${type}`,
    );
  }
  for (const subject of subjects) checkSubject(subject, facts);
  if (subjects.length === 0 && requested.length === 0) {
    throw new NexError(
      "triggers_required",
      "Failed to deploy workload: workload rejected by agent: at least one trigger subject is required for this workload type",
    );
  }
  const ofGo = [...new Set(subjects)].map((subject): TriggerRequest => ({ type: "subject", subject }));
  const all = [...ofGo, ...requested];
  if (all.length > triggersMax) {
    throw new NexError(
      "trigger_invalid",
      `Cannot take ${all.length} triggers: a workload has ${triggersMax} at most`,
    );
  }
  for (const trigger of requested) {
    if (trigger.type === "subject") checkSubject(trigger.subject, facts);
    if (trigger.type === "stream") {
      for (const filter of trigger.filters ?? [])
        checkDenied(filter, trigger, facts.rules.denyTriggerSubjects);
    }
  }
  return nameTriggers(all);
}

function checkSubject(subject: string, { rules, inboxPrefixes }: TriggerFacts): void {
  if (!isSubscribableSubject(subject)) {
    throw new NexError("trigger_invalid", `The trigger subject ${printable(subject)} is not a NATS subject`);
  }
  const listed = overlapping(subject, [...deniedTriggerSubjects, ...rules.denyTriggerSubjects]);
  const always = alwaysDeniedTrigger(subject, inboxPrefixes);
  const denied = always === undefined || listed.length > 0 ? listed : [always];
  if (denied.length > 0) {
    throw new NexError(
      "trigger_denied",
      `The trigger subject ${subject} overlaps with subject(s) in this node's deny list: ${denied.slice(0, 4).join(", ")}`,
    );
  }
}
