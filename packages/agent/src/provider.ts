/** A provider runs a workload inside a machine. */
import type { CallFailure, Deploy, Exited, MessageView } from "@nexengine/protocol/agent";

import type { HostCalls } from "./host-calls.ts";

/** Levels of log lines, as indices into the wire's list. */
export const LogLevel = { debug: 0, info: 1, warn: 2, error: 3 } as const;
export type LogLevel = (typeof LogLevel)[keyof typeof LogLevel];

/** The messages that a provider may send to the node. */
export interface ProviderHost {
  /** Calls of the node's host services. */
  readonly hostCalls: HostCalls;
  /** @returns false when the node is slow to read: wait for `drained`, or drop what comes. */
  log(level: LogLevel, text: string): boolean;
  /** Settles when the node reads again. */
  drained(): Promise<void>;
  /** Is something written that has not gone out? */
  readonly unsent: boolean;
  /** Lets what was written go out now. */
  flush(): void;
  /** The calls up to this one have begun. */
  began(sequence: number): void;
  /** Sets the maximum number of calls that may start before the node hears of them. */
  window(calls: number): void;
  /**
   * The call's reply; the bytes are copied before this returns.
   *
   * @param runTicks How long it ran, in units of `runTickNs`.
   * @param headers A block as NATS has them, or nothing.
   */
  result(callId: number, runTicks: number, payload: Uint8Array, headers: Uint8Array): void;
  failure(callId: number, failure: CallFailure, runTicks: number): void;
  /** The workload ended by itself. */
  exited(exit: Exited): void;
}

/** A workload that runs. */
export interface RunningWorkload {
  /** How many calls it takes at once; absent for services. */
  readonly concurrency?: number;
  /**
   * Takes a call.
   *
   * @param sequence Number of the call within the epoch, modulo 2³².
   * @param view Stays as it is for as long as somebody holds it, and must not be changed.
   */
  invoke?(callId: number, sequence: number, view: MessageView): void;
  /** All calls that had arrived were handed over. */
  batchEnd?(): void;
  /** Nobody waits for this call any longer. */
  cancel?(callId: number): void;
  /** Drops all calls: the node that made them is gone. */
  reset?(): void;
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
