/** The one interface of everything that invokes a function. */
import type { NamedTrigger } from "@nexengine/protocol/messages";

/** A trigger as admission has accepted it. */
export type TriggerSpec = NamedTrigger;

/** A trigger on a core NATS subject. */
export type SubjectTriggerSpec = Extract<TriggerSpec, { type: "subject" }>;

/**
 * - `stopped`: not started yet, or stopped; nothing fires it.
 * - `starting`: it is made ready.
 * - `active`: messages become calls.
 * - `full`: active, and the function has no room now.
 * - `unreachable`: active, and what it needs of NATS is not there; it is tried again.
 * - `paused`: nothing is taken until `resume`.
 * - `draining`: nothing new is taken; what the server has sent already still becomes calls.
 * - `failed`: it does not go on by itself.
 */
export type TriggerState =
  | "stopped"
  | "starting"
  | "active"
  | "full"
  | "unreachable"
  | "paused"
  | "draining"
  | "failed";

/** Counters of a trigger whose messages are settled, since it started on this node. */
interface TriggerCounters {
  received: number;
  acked: number;
  /** Given back for another attempt. */
  retried: number;
  /** Given up: dead letters, or dropped. */
  dead: number;
  /** Taken and not settled yet. */
  in_flight: number;
}

/** State that a trigger reports about itself. */
export interface TriggerHealth {
  state: TriggerState;
  /** Why it does not fire, where it should. */
  problem?: string;
  counters?: TriggerCounters;
  /** Messages that no copy has taken yet, as of the last one. */
  pending?: number;
  lastError?: string;
  /** A peculiarity of how its messages come. */
  remark?: string;
}

/** Counters of a trigger's calls, since it started on this node. */
export interface CallStats {
  requests: number;
  errors: number;
  /** Code and text of the last error; empty without any. */
  lastError: string;
  /** Total run time. */
  runNs: number;
}

/** A trigger invokes a function. A call in the wrong state does nothing. */
export interface Trigger {
  readonly spec: TriggerSpec;
  /** Counters of the calls; only triggers on subjects have them. */
  readonly callStats?: CallStats;
  readonly health: TriggerHealth;
  /**
   * Starts to take messages.
   *
   * @param isRestored Whether the function has run before. Then what is missing for a while is waited for.
   * @throws NexError when the server refuses.
   */
  start(isRestored?: boolean): Promise<void>;
  /** Takes no more messages until `resume`. */
  pause(): Promise<void>;
  /** Takes messages again after `pause`. */
  resume(): Promise<void>;
  /** Takes no more messages; those that the server has sent already become calls, or go back, before this settles. */
  drain(): Promise<void>;
  /** Ends the trigger for good. Idempotent. */
  stop(): Promise<void>;
  /** Ends what the trigger has made for itself on the server, where no other copy needs it. */
  retire?(): Promise<void>;
}
