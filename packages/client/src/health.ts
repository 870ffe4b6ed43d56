/** The health check of a deploy, as a program gives it and as it travels. */
import { NexError } from "@nexengine/protocol/errors";
import {
  checkHealth,
  functionTypes,
  type Health,
  healthBounds,
  healthSchema,
  type Network,
  type TriggerRequest,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";

/** How a node checks each machine of a workload. */
export interface HealthCheck {
  /** Asks on this subject; every reply passes, except one with an error status. A function names one of its triggers. */
  subject?: string;
  /** Connects to this port of a service. Either `subject` or `tcp` is given. */
  tcp?: number;
  /** Time from one check to the next; 10,000 when absent. */
  intervalMs?: number;
  /** Timeout of one check; 2,000 when absent. */
  timeoutMs?: number;
  /** Number of failures in a row after which a machine is replaced; 3 when absent. */
  threshold?: number;
  /** Time for the first check to pass; 10,000 when absent. The deploy is refused after it. */
  startMs?: number;
}

/** The parts of a deploy on which its health check depends. */
interface CheckedDeploy {
  triggerSubjects?: readonly string[];
  triggers?: readonly TriggerRequest[];
  replicas?: number;
  limits?: { network?: Network };
}

const names: ReadonlySet<string> = new Set<keyof HealthCheck>([
  "subject",
  "tcp",
  "intervalMs",
  "timeoutMs",
  "threshold",
  "startMs",
]);

/**
 * A health check as it travels.
 *
 * @throws NexError `health_invalid`
 */
export function encodeHealth(health: HealthCheck, type: WorkloadType, deploy: CheckedDeploy): Health {
  const unknown = Object.keys(health).find((name) => !names.has(name));
  if (unknown !== undefined) throw invalid(`${printable(unknown)} is no part of a health check`);
  const { subject, tcp } = health;
  if ((subject === undefined) === (tcp === undefined)) throw invalid("give either a subject or a port (tcp)");
  const wire = {
    ...(tcp === undefined ? { type: "subject", subject } : { type: "tcp", port: tcp }),
    interval_ms: health.intervalMs,
    timeout_ms: health.timeoutMs,
    threshold: health.threshold,
    start_ms: health.startMs,
  };
  // Through JSON, so that absent members are left out.
  const result = healthSchema.safeParse(JSON.parse(JSON.stringify(wire)));
  if (!result.success) {
    const issue = result.error.issues[0];
    throw invalid(`${issue?.path.join(".")}: ${issue?.message}`);
  }
  checkHealth(result.data, {
    isFunction: functionTypes.has(type),
    triggerSubjects: [
      ...(deploy.triggerSubjects ?? []),
      ...(deploy.triggers ?? []).flatMap((trigger) => (trigger.type === "subject" ? trigger.subject : [])),
    ],
    replicas: deploy.replicas ?? 1,
    network: deploy.limits?.network,
  });
  return result.data;
}

/** The longest time that a node waits for the first check before it answers the deploy; 0 without a check. */
export function startTimeMs(health: Health | undefined): number {
  return health === undefined ? 0 : (health.start_ms ?? healthBounds.start_ms.otherwise);
}

function invalid(why: string): NexError {
  return new NexError("health_invalid", `Cannot set the health check: ${why}`);
}
