/** Health check of a workload, as a deploy requests it and its node carries it out. */
import { z } from "zod";
import { NexError } from "../errors.ts";
import { printable } from "../subjects/names.ts";
import { isPublishableSubject, subjectBytesMax, subjectsOverlap } from "../subjects/subject-match.ts";
import type { Network } from "./limits.ts";

/** Bounds of the numbers of a health check: smallest, largest, and the value of one that is absent. */
export const healthBounds = {
  interval_ms: { min: 100, max: 3_600_000, otherwise: 10_000 },
  timeout_ms: { min: 10, max: 60_000, otherwise: 2_000 },
  threshold: { min: 1, max: 100, otherwise: 3 },
  start_ms: { min: 100, max: 600_000, otherwise: 10_000 },
} as const;

const bounded = (name: keyof typeof healthBounds) =>
  z.number().int().min(healthBounds[name].min).max(healthBounds[name].max).optional();

const timesSchema = {
  /** Time from one check of a machine to the next. */
  interval_ms: bounded("interval_ms"),
  /** Timeout of one check. */
  timeout_ms: bounded("timeout_ms"),
  /** Number of failed checks in a row after which a machine is replaced. */
  threshold: bounded("threshold"),
  /** Time in which the first check of a machine must pass. */
  start_ms: bounded("start_ms"),
};

export const healthSchema = z.discriminatedUnion("type", [
  /** A request on a subject. Every reply passes, except one with an error status. */
  z.strictObject({
    type: z.literal("subject"),
    subject: z.string().min(1).max(subjectBytesMax),
    ...timesSchema,
  }),
  /** A connection to a port of the machine. */
  z.strictObject({ type: z.literal("tcp"), port: z.number().int().min(1).max(65_535), ...timesSchema }),
]);
/** Health check of a workload on the wire. */
export type Health = z.infer<typeof healthSchema>;

/** The parts of a deploy on which its health check depends. */
export interface CheckedWorkload {
  isFunction: boolean;
  triggerSubjects: readonly string[];
  replicas: number;
  /** Absent when it is not known yet. */
  network?: Network | undefined;
}

/**
 * Checks a health check against the rest of its deploy.
 *
 * @throws NexError `health_invalid`
 */
export function checkHealth(health: Health, workload: CheckedWorkload): void {
  const why = health.type === "tcp" ? refusalOfPort(workload) : refusalOfSubject(health.subject, workload);
  if (why === undefined) return;
  const what = health.type === "tcp" ? `port ${health.port}` : `subject "${printable(health.subject)}"`;
  throw new NexError("health_invalid", `Cannot check health on ${what}: ${why}`);
}

function refusalOfPort({ isFunction, network }: CheckedWorkload): string | undefined {
  if (isFunction) return "a function has no ports; name one of its trigger subjects";
  return network === "none" ? `a port of a machine with the network "none" is not reached` : undefined;
}

function refusalOfSubject(
  subject: string,
  { isFunction, triggerSubjects, replicas }: CheckedWorkload,
): string | undefined {
  if (!isPublishableSubject(subject)) return "it is not a subject to which one can publish";
  if (isFunction) {
    return triggerSubjects.some((trigger) => subjectsOverlap(trigger, subject))
      ? undefined
      : "no trigger of the function takes it";
  }
  return replicas === 1
    ? undefined
    : `it does not tell the ${replicas} machines of a service apart; check a port instead`;
}
