/** How requests and workloads go from a running node to its successor without a gap. Each side has its part here. */
import { errorText } from "@nexengine/protocol/errors";
import type { Logger } from "pino";
import type { HandOverParts } from "../hand-over/hand-over.ts";
import type { Predecessor } from "../hand-over/predecessor.ts";
import type { StoredMachine } from "../state/machine-records.ts";
import type { StateDirectory } from "../state/state-directory.ts";
import type { ActionContext } from "./context.ts";
import type { Action, Dispatcher } from "./dispatcher.ts";
import type { PreviousWork, Release } from "./restore.ts";

/** Parts of a node that hear requests and keep its state. */
interface ListeningParts {
  dispatcher: Dispatcher;
  actions: readonly Action[];
  context: ActionContext;
  directory: StateDirectory;
  log: Logger;
  /** Ends restores that wait. */
  stopping: AbortController;
}

/** Requests that can be answered while workloads change hands. */
const answeredMeanwhile: ReadonlySet<string> = new Set(["ping", "auction", "auction_why"]);

/**
 * Has the running node give its requests and its state directory to this one. Requests about workloads wait until the
 * dispatcher holds nothing any more.
 *
 * @returns the workloads of that node, which it still runs.
 */
export async function takeOver(
  { context, dispatcher, actions, directory, log }: ListeningParts,
  predecessor: Predecessor,
): Promise<PreviousWork> {
  dispatcher.hold(() => true);
  // For a moment requests come to both nodes. Those that the other one has answered are dropped.
  await dispatcher.start(actions);
  const { handled, ended } = await predecessor.stopListening();
  await predecessor.unlock();
  await directory.lock();
  await context.usedTokens.read();
  dispatcher.dropAnswered(handled);
  for (const { namespace, ended: workload } of ended) context.workloads.endedOnes.add(namespace, workload);
  const { records, unreadable } = await directory.deploys.read();
  for (const { id, reason } of unreadable) {
    log.error({ workload: id, reason }, "a deploy's record is unreadable; its machines are left alone");
  }
  dispatcher.hold(({ kind }) => !answeredMeanwhile.has(kind));
  const machines = await directory.records.list();
  return { deploys: records, machines: machines.filter(({ workload_id }) => workload_id !== undefined) };
}

/**
 * Has the running node let go of single workloads. When it does not answer, they are taken from it.
 *
 * @param machines Machines that ran workloads when this node took over.
 */
export function releaseOf(
  { directory, log }: ListeningParts,
  predecessor: Predecessor,
  machines: readonly StoredMachine[],
): Release {
  return async (id) => {
    let released: string[] | undefined;
    try {
      released = await predecessor.release(id);
    } catch (error) {
      log.warn({ workload: id, reason: errorText(error) }, "the node before did not release a workload");
    }
    if (!(await directory.deploys.has(id))) return undefined;
    // One that the node before did not run has the machines of its own predecessor, if any.
    return released === undefined
      ? machines.filter(({ workload_id }) => workload_id === id)
      : await directory.records.ofMachines(released);
  };
}

/** Parts that a successor of this node gets. @param isLasting Whether workloads outlive the node */
export function handedOverBy({
  context: { info, workloads, usedTokens, drain },
  dispatcher,
  actions,
  directory,
  stopping,
  isLasting,
}: ListeningParts & { isLasting: boolean }): Omit<HandOverParts, "end"> {
  return {
    directory: directory.path,
    get lameDuck() {
      return info.lameDuck;
    },
    obstacle: () => {
      if (!isLasting) return "its workloads end with it, since it is ephemeral";
      if (drain.isBegun) return "an operator ends it";
      return workloads.isStarting ? "a deploy is starting; try again" : undefined;
    },
    noteRequests: () => dispatcher.noteRequests(),
    stopListening: async () => {
      await dispatcher.stop();
      return dispatcher.endNotes();
    },
    endNotes: () => void dispatcher.endNotes(),
    listenAgain: () => dispatcher.start(actions),
    endedWorkloads: () => workloads.endedOnes.all,
    unlock: async () => {
      stopping.abort();
      workloads.keepForNext();
      usedTokens[Symbol.dispose]();
      await directory.unlock();
    },
    release: (id) => workloads.handOver(id),
  };
}
