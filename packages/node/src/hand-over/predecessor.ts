/**
 * The steps by which a running node hands its work to its successor in the same state directory. The successor asks for
 * each, in this order. Until `unlock` it can die, and the running node goes on.
 */
import type { EndedEntry } from "../workloads/ended-workloads.ts";

/** Facts of the running node that stand in no file. */
export interface PreparedHandOver {
  /** Its state directory. */
  directory: string;
  lameDuck: boolean;
}

/** Requests and ends of the running node. */
export interface StoppedListening {
  /** Keys of the requests that it has answered since `prepare`. The successor may have them too. */
  handled: string[];
  /** Its workloads that have ended. */
  ended: EndedEntry[];
}

/** The running node, as its successor sees it. */
export interface Predecessor {
  /** Asks whether it can be handed over. From now on it notes the requests that it gets. @throws NexError `hand_over_refused` */
  prepare(): Promise<PreparedHandOver>;
  /** It takes no more requests, and finishes those that it has. The successor has subscribed already. */
  stopListening(): Promise<StoppedListening>;
  /** It gives the state directory away. From now on only the successor can go on. */
  unlock(): Promise<void>;
  /**
   * It finishes the calls of a workload and lets go of its machines. The successor has subscribed to its triggers already,
   * so messages wait there.
   *
   * @returns ids of the machines that go on; `undefined` for a workload that it does not run.
   */
  release(workloadId: string): Promise<string[] | undefined>;
  /** It ends, and lets go of whatever it still has. */
  finish(): Promise<void>;
}
