/** The one interface of everything that invokes a function. */

import type { NamedTrigger } from "@nexengine/protocol/messages";

/** A trigger as admission has accepted it. */
export type TriggerSpec = NamedTrigger;

/** A trigger on a core NATS subject. */
export type SubjectTriggerSpec = Extract<TriggerSpec, { type: "subject" }>;

/**
 * - `stopped`: not started yet, or stopped; nothing fires it.
 * - `active`: messages become calls.
 * - `paused`: nothing is taken until `resume`.
 * - `draining`: nothing new is taken; what the server has sent already still becomes calls.
 */
export type TriggerState = "stopped" | "active" | "paused" | "draining";

/** State that a trigger reports about itself. */
export interface TriggerHealth {
  state: TriggerState;
  /** Why it does not fire, where it should. */
  problem?: string;
}

/** A trigger invokes a function. A call in the wrong state does nothing. */
export interface Trigger {
  readonly spec: TriggerSpec;
  readonly health: TriggerHealth;
  /** Starts to take messages. @throws NexError when the server refuses. */
  start(): Promise<void>;
  /** Takes no more messages until `resume`. */
  pause(): Promise<void>;
  /** Takes messages again after `pause`. */
  resume(): Promise<void>;
  /** Takes no more messages; those that the server has sent already become calls before this settles. */
  drain(): Promise<void>;
  /** Ends the trigger for good. Idempotent. */
  stop(): Promise<void>;
}
