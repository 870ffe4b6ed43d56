/** Admission of a health check: a pure function of the request and the node's rules. */
import { NexError } from "@nexengine/protocol/errors";
import {
  checkHealth,
  functionTypes,
  type Health,
  healthBounds,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import { alwaysDeniedTrigger, deniedTriggerSubjects, overlapping } from "@nexengine/protocol/subjects";
import type { NamespaceRules } from "../config/namespaces.ts";
import type { GrantedLimits } from "../workloads/spec.ts";
import type { HealthSpec } from "../workloads/workload-health.ts";

/** The parts of an admitted deploy on which its health check depends. */
interface AdmittedParts {
  type: WorkloadType;
  triggerSubjects: readonly string[];
  replicas: number;
  limits: GrantedLimits;
}

interface HealthFacts {
  /** Rules of the request's namespace. */
  rules: Pick<NamespaceRules, "denyTriggerSubjects">;
  inboxPrefixes: readonly string[];
}

/**
 * Admits a health check.
 *
 * @throws NexError `health_invalid`, `health_denied`
 */
export function admitHealth(
  health: Health,
  { type, triggerSubjects, replicas, limits }: AdmittedParts,
  facts: HealthFacts,
): HealthSpec {
  const isFunction = functionTypes.has(type);
  checkHealth(health, { isFunction, triggerSubjects, replicas, network: limits.network });
  if (health.type === "subject") checkDenied(health.subject, facts);
  return {
    check:
      health.type === "tcp"
        ? { type: "tcp", port: health.port }
        : { type: "subject", subject: health.subject },
    intervalMs: health.interval_ms ?? healthBounds.interval_ms.otherwise,
    timeoutMs: health.timeout_ms ?? healthBounds.timeout_ms.otherwise,
    threshold: health.threshold ?? healthBounds.threshold.otherwise,
    startMs: health.start_ms ?? healthBounds.start_ms.otherwise,
  };
}

/** The node asks with its own rights, so what a workload may not subscribe to, its health check does not reach. */
function checkDenied(subject: string, { rules, inboxPrefixes }: HealthFacts): void {
  const denied =
    overlapping(subject, [...deniedTriggerSubjects, ...rules.denyTriggerSubjects])[0] ??
    alwaysDeniedTrigger(subject, inboxPrefixes);
  if (denied === undefined) return;
  throw new NexError(
    "health_denied",
    `Cannot check health on subject "${subject}": this node's deny list has ${denied}`,
  );
}
