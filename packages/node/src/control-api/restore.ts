/**
 * Continues the workloads of the node that ran before in this state directory. Each recorded request goes through
 * admission again, as of the time at which it was accepted, so the configuration of today holds for it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type ErrorCode, errorText, NexError, toNexError } from "@nexengine/protocol/errors";
import { parseDeployExtras } from "@nexengine/protocol/messages";
import { decodeClaims } from "@nexengine/protocol/tokens";
import type { Logger } from "pino";
import { admitDeploy } from "../admission/admit-deploy.ts";
import type { DeployRecord } from "../state/deploy-records.ts";
import type { StoredMachine } from "../state/machine-records.ts";
import type { PreviousHolder } from "../workloads/previous-holder.ts";
import { isJob, type WorkloadSpec } from "../workloads/spec.ts";
import type { ActionContext } from "./context.ts";
import { requestOf } from "./recorded-request.ts";
import { WaitingWorkload } from "./waiting-workloads.ts";

/** Maximum number of workloads that are restored at once. */
const restoresMax = 16;
const retryFirstMs = 500;
const retryMaxMs = 30_000;
/** Refusals that pass: the workload is tried again later. */
const passingCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["workload_limit", "lame_duck"]);
/** Errors of a node that has not the key of the one before: its operator may still hand it in. */
const keyCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["environment_unreadable", "sealed_for_another"]);

/** Work that the previous node has left. */
export interface PreviousWork {
  deploys: readonly DeployRecord[];
  /** Machines that may still run their workloads. */
  machines: readonly StoredMachine[];
}

/**
 * Has the running predecessor let go of a workload.
 *
 * @returns the machines that may still run it; `undefined` when it has ended meanwhile.
 */
export type Release = (id: string) => Promise<readonly StoredMachine[] | undefined>;

/** Parts of the node that a restore uses. */
export interface RestoreContext
  extends Pick<ActionContext, "workloads" | "waiting" | "deployFacts" | "reporter"> {
  log: Logger;
  /** The kind of machines that the node's driver can take over. */
  machineKind: string;
  /** Ends a machine of the previous node, whatever its kind. */
  endMachine(machine: StoredMachine): Promise<void>;
  /** Removes a record. */
  forget(record: DeployRecord): Promise<void>;
  /** Absent when the node before does not run any more. */
  release?: Release;
  /** Aborted when the node stops. */
  signal: AbortSignal;
}

/** Restores all workloads. Returns once each runs, or is told and, where that can help, will be tried again. */
export async function restoreWorkloads(context: RestoreContext, work: PreviousWork): Promise<void> {
  const machines = Map.groupBy(work.machines, ({ workload_id }) => workload_id ?? "");
  const replaced = new Set(work.deploys.map(replacedBy));
  const waiting = work.deploys.filter(({ id }) => !replaced.has(id));
  for (const record of work.deploys.filter(({ id }) => replaced.has(id))) {
    const left = (await context.release?.(record.id)) ?? machines.get(record.id) ?? [];
    await context.forget(record);
    for (const machine of left) await endOne(context, machine);
    context.log.info({ workload: record.id }, "a workload that was being replaced is ended");
  }
  const next = async (): Promise<void> => {
    for (let record = waiting.shift(); record !== undefined; record = waiting.shift()) {
      await restoreOne(context, record, machines.get(record.id) ?? []);
    }
  };
  await Promise.all(Array.from({ length: restoresMax }, next));
}

/** The id of the workload whose place a recorded deploy has taken; the node may have died before it ended that one. */
function replacedBy(record: DeployRecord): string | undefined {
  try {
    return parseDeployExtras(requestOf(record).request.nex).replace;
  } catch {
    return undefined;
  }
}

/** Why a workload does not run yet, and what is left of it. */
interface Obstacle {
  error: NexError;
  machines: readonly StoredMachine[];
}

async function restoreOne(
  context: RestoreContext,
  record: DeployRecord,
  machines: readonly StoredMachine[],
): Promise<void> {
  const obstacle = await tryOnce(context, record, machines);
  if (obstacle === undefined) return;
  const { release: _, ...alone } = context;
  const workload = new WaitingWorkload(record, (waiting) => tryUntilItRuns(alone, waiting, obstacle));
  context.waiting.add(workload);
  const over = (): void => context.waiting.remove(workload);
  workload.attempts.then(over, (thrown: unknown) => {
    over();
    context.log.error({ workload: record.id, reason: errorText(thrown) }, "a restore failed");
  });
}

/** @returns what keeps it from running now; `undefined` when it runs, has ended, or is not allowed any more */
async function tryOnce(
  context: RestoreContext,
  record: DeployRecord,
  machines: readonly StoredMachine[],
): Promise<Obstacle | undefined> {
  const holder = new Holder(context, record.id, machines);
  let spec: WorkloadSpec;
  try {
    spec = admitAgain(context, record);
  } catch (thrown) {
    const error = toNexError(thrown);
    const left = await holder.letGo();
    if (holder.hasEnded) return undefined;
    if (passingCodes.has(error.code)) return { error, machines: left };
    await refuse(context, record, left, error);
    return undefined;
  }
  // Jobs are not adopted: their ticks come again.
  holder.replicas = isJob(spec) ? 0 : spec.replicas;
  try {
    await context.workloads.restore(record, spec, holder);
    return undefined;
  } catch (thrown) {
    const left = await holder.letGo();
    // It is admitted, so what keeps it from running is the host or the NATS system, and passes.
    return holder.hasEnded ? undefined : { error: toNexError(thrown), machines: left };
  }
}

/** Tries again until the workload runs, its issuer stops it, or the node stops. */
async function tryUntilItRuns(
  context: RestoreContext,
  workload: WaitingWorkload,
  first: Obstacle,
): Promise<void> {
  const { record } = workload;
  const { id, namespace } = record;
  const over = AbortSignal.any([context.signal, workload.signal]);
  let obstacle: Obstacle | undefined = first;
  for (let delayMs = retryFirstMs; obstacle !== undefined; delayMs = Math.min(delayMs * 2, retryMaxMs)) {
    const { error, machines }: Obstacle = obstacle;
    workload.reason = error.message;
    workload.nextAtMs = Date.now() + delayMs;
    context.log.warn(
      { workload: id, namespace, reason: error.message, delayMs },
      "a workload of the previous node can't run yet; it is tried again",
    );
    await delay(delayMs, undefined, { signal: over, ref: false }).catch(() => undefined);
    if (workload.signal.aborted) {
      await context.forget(record);
      for (const machine of machines) await endOne(context, machine);
      const reason = String(workload.signal.reason);
      context.reporter.tell({ type: "workload_undeployed", workload, code: 0, reason });
      return;
    }
    if (context.signal.aborted) return;
    obstacle = await tryOnce(context, record, machines);
  }
  // It was stopped while it started.
  if (workload.signal.aborted) await context.workloads.find(id)?.stop(String(workload.signal.reason));
}

/** The node that has run a workload before. */
class Holder implements PreviousHolder {
  readonly #context: RestoreContext;
  readonly #id: string;
  #machines: readonly StoredMachine[];
  #released: Promise<StoredMachine[]> | undefined;
  /** Maximum number of machines that the workload can use. A replica that was just being replaced has left two. */
  replicas = Number.POSITIVE_INFINITY;
  /** Whether the workload ended before it was released. */
  hasEnded = false;

  constructor(context: RestoreContext, id: string, machines: readonly StoredMachine[]) {
    this.#context = context;
    this.#id = id;
    this.#machines = machines;
  }

  get isRunning(): boolean {
    return this.#context.release !== undefined && this.#released === undefined;
  }

  get hasMachines(): boolean {
    return this.#machines.some(({ driver }) => driver === this.#context.machineKind);
  }

  /** @throws NexError when the workload has ended */
  async release(): Promise<StoredMachine[]> {
    const machines = await this.letGo();
    if (this.hasEnded) throw new NexError("workload_not_started", "The workload has ended");
    return machines;
  }

  /** Idempotent. @returns machines that can be adopted; the others have been ended */
  letGo(): Promise<StoredMachine[]> {
    this.#released ??= this.#letGo();
    return this.#released;
  }

  async #letGo(): Promise<StoredMachine[]> {
    const context = this.#context;
    if (context.release !== undefined) {
      const found = await context.release(this.#id);
      this.hasEnded = found === undefined;
      this.#machines = found ?? [];
    }
    const usable = await endForeign(context, this.#machines);
    for (const machine of usable.splice(this.replicas)) await endOne(context, machine);
    return usable;
  }
}

/** Ends a machine; a failure is logged, and its record stays for the next node. */
async function endOne({ endMachine, log }: RestoreContext, machine: StoredMachine): Promise<void> {
  try {
    await endMachine(machine);
  } catch (error) {
    log.error({ machine: machine.id, reason: errorText(error) }, "a machine of the previous node is left");
  }
}

/** Ends machines of a kind that this node does not make. @returns the others */
async function endForeign(
  context: RestoreContext,
  machines: readonly StoredMachine[],
): Promise<StoredMachine[]> {
  const usable: StoredMachine[] = [];
  for (const machine of machines) {
    if (machine.driver === context.machineKind) usable.push(machine);
    else await endOne(context, machine);
  }
  return usable;
}

/** Admits a recorded request as of its time. @throws NexError */
function admitAgain({ deployFacts }: RestoreContext, record: DeployRecord): WorkloadSpec {
  const { namespace } = record;
  const { request, body } = requestOf(record);
  const facts = deployFacts(namespace);
  // The workload that it replaced has ended since.
  const replaced = { namespace, issuer: decodeClaims(request.workload_jwt ?? "").iss, replicas: 1 };
  const { spec } = admitDeploy(
    { namespace, request, body },
    {
      ...facts,
      nowMs: record.accepted_ms,
      isUsed: () => false,
      replaceable: () => replaced,
      ...(record.autostart === undefined ? {} : { requireBoundClaims: false }),
    },
  );
  const { replaces: _, ...rest } = spec;
  return { ...rest, ...(record.autostart === undefined ? {} : { autostart: record.autostart }) };
}

/** Tells why a workload does not run any more, and ends what runs of it. */
async function refuse(
  context: RestoreContext,
  record: DeployRecord,
  machines: readonly StoredMachine[],
  error: NexError,
): Promise<void> {
  const { id, namespace } = record;
  for (const machine of machines) await endOne(context, machine);
  context.reporter.tell({
    type: "restore_refused",
    workloadId: id,
    namespace,
    code: error.code,
    reason: error.message,
  });
  if (!keyCodes.has(error.code)) await context.forget(record);
}
