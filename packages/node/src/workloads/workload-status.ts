/** Why a workload does not plainly run, from what its machines do. A pure function. */
import { crashLoopRestartsMin, type RestartSpell } from "./restart-history.ts";

/** One machine of a workload. */
export interface ReplicaStatus {
  isRunning: boolean;
  /** Its latest restarts. */
  spell: RestartSpell | undefined;
}

/** A crash loop. */
interface CrashLoop {
  restarts: number;
  /** Time since the first of them. */
  spanMs: number;
}

/** Health of a workload that has a health check. */
export interface HealthStatus {
  readonly isHealthy: boolean;
  /** Failures of a machine that is not replaced yet. */
  readonly trouble: string | undefined;
}

/** Facts for a workload's owner, beyond its state. */
export interface WorkloadStatus {
  /** Absent when it plainly runs. */
  reason?: string;
  /** Whether all machines pass their health check; absent without one. */
  healthy?: boolean;
  crashLoop?: CrashLoop;
  /** Time until the next attempt to start a machine. */
  nextAttemptMs?: number;
}

const msPerSecond = 1_000;

/**
 * The status of a workload.
 *
 * @param replicas All machines; the one with the most restarts in a row gives the reason.
 * @param health Absent without a health check.
 * @param problem Why a function is not called, where that is known.
 */
export function statusOf(
  replicas: readonly ReplicaStatus[],
  health: HealthStatus | undefined,
  nowMs: number,
  problem?: string,
): WorkloadStatus {
  const restarts = restartStatus(replicas, nowMs);
  const reasons = [restarts.reason, health?.trouble, problem].filter((reason) => reason !== undefined);
  return {
    ...restarts,
    ...(reasons.length === 0 ? {} : { reason: reasons.join("; ") }),
    ...(health === undefined ? {} : { healthy: health.isHealthy }),
  };
}

function restartStatus(replicas: readonly ReplicaStatus[], nowMs: number): WorkloadStatus {
  const worst = replicas
    .filter(({ spell }) => spell !== undefined)
    .sort((one, other) => rank(other) - rank(one))[0];
  const { spell } = worst ?? {};
  if (worst === undefined || spell === undefined) return {};
  const isLoop = spell.count >= crashLoopRestartsMin;
  const spanMs = nowMs - spell.firstAtMs;
  const running = replicas.filter(({ isRunning }) => isRunning).length;
  const nextAttemptMs = worst.isRunning ? undefined : Math.max(0, spell.nextAtMs - nowMs);
  const parts = [
    ...(running === 0 || running === replicas.length
      ? []
      : [`${running} of ${replicas.length} machines run`]),
    isLoop
      ? `crash loop: ${spell.count} restarts in ${seconds(spanMs)}, the last one: ${spell.reason}`
      : worst.isRunning
        ? `restarted ${seconds(nowMs - spell.lastAtMs)} ago: ${spell.reason}`
        : spell.reason,
    ...(nextAttemptMs === undefined ? [] : [nextAttempt(nextAttemptMs)]),
  ];
  return {
    reason: parts.join("; "),
    ...(isLoop ? { crashLoop: { restarts: spell.count, spanMs } } : {}),
    ...(nextAttemptMs === undefined ? {} : { nextAttemptMs }),
  };
}

/** Restarts in a row count most, then whether it runs. */
function rank({ isRunning, spell }: ReplicaStatus): number {
  return (spell?.count ?? 0) * 2 + (isRunning ? 0 : 1);
}

function nextAttempt(inMs: number): string {
  return inMs === 0 ? "it is starting again" : `next attempt in ${seconds(inMs)}`;
}

/** Short times with one digit, others as whole seconds. */
function seconds(ms: number): string {
  const value = ms / msPerSecond;
  return `${value < 10 ? Math.ceil(value * 10) / 10 : Math.round(value)} s`;
}
