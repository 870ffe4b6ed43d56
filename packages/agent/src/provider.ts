/** What runs a workload inside a machine. */
import type { CallFailure, Deploy, Exited } from "@nexengine/protocol/internal";

/** Levels of log lines, as indices into the wire's list. */
export const LogLevel = { debug: 0, info: 1, warn: 2, error: 3 } as const;
export type LogLevel = (typeof LogLevel)[keyof typeof LogLevel];

/** What a provider may tell the node. */
export interface ProviderHost {
  /** @returns false when the node is slow to read: wait for `drained`, or drop what comes. */
  log(level: LogLevel, text: string): boolean;
  /** Settles when the node reads again. */
  drained(): Promise<void>;
  /** The call begins to run; goes out before its code does. */
  started(callId: number): void;
  /** The call's reply; the bytes are copied before this returns. */
  result(callId: number, payload: Uint8Array): void;
  failure(callId: number, failure: CallFailure): void;
  /** The workload ended by itself. */
  exited(exit: Exited): void;
}

/** A workload that runs. */
export interface RunningWorkload {
  /** How many calls it takes at once; absent for services. */
  readonly concurrency?: number;
  /** Takes a call; the payload is the provider's to keep. */
  invoke?(callId: number, subject: string, payload: Buffer): void;
  /** Nobody waits for this call any longer. */
  cancel?(callId: number): void;
  /** Ends the workload: asks, waits at most `graceMs`, then forces. */
  stop(graceMs: number): Promise<Exited>;
}

/** Runs workloads of one type. */
export interface Provider {
  /** Makes what every start needs, while the machine waits for one. Called once at most, and never after `start`. */
  prepare?(host: ProviderHost): void;
  /**
   * Starts a workload.
   *
   * @param artifact The path of the artifact's file.
   * @throws Error with a text for people, which becomes the refusal of the deploy.
   */
  start(deploy: Deploy, artifact: string, host: ProviderHost): Promise<RunningWorkload>;
}
