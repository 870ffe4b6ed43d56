/** All workloads of a node, from admission to end. */
import { settlesWithin } from "@nexengine/machines/internal";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { createXidMaker } from "@nexengine/protocol/formats";
import type { DeployRecord } from "../state/deploy-records.ts";
import { EndedWorkloads, endedLinesMax } from "./ended-workloads.ts";
import type { PreviousHolder } from "./previous-holder.ts";
import type { WorkloadEnd } from "./replica.ts";
import type { WorkloadServices } from "./services.ts";
import type { WorkloadSpec } from "./spec.ts";
import { Workload } from "./workload.ts";

const drainReason = "Node is in lame duck mode";
/** Time that a deploy waits for the end of the workload that it replaces. Then that one ends by itself. */
const replacedWaitMs = 2_000;

export class Workloads {
  readonly #services: WorkloadServices;
  readonly #totalBytesMax: number;
  readonly #byId = new Map<string, Workload>();
  /** Ids of workloads that a deploy is replacing. */
  readonly #replaced = new Set<string>();
  /** Workloads that have ended. */
  readonly endedOnes = new EndedWorkloads();
  readonly #makeId = createXidMaker(Date.now);
  /** Settles when no workload is left; set once the node drains. */
  #drained: PromiseWithResolvers<void> | undefined;

  /** @param totalBytesMax Maximum size of all artifacts together; 0 is no limit. */
  constructor(services: WorkloadServices, totalBytesMax: number) {
    this.#services = services;
    this.#totalBytesMax = totalBytesMax;
  }

  /** Number of workloads that count against the limits, also those that are starting. */
  get count(): number {
    return this.#byId.size;
  }

  /** Number of workloads of one namespace. */
  countIn(namespace: string): number {
    return this.#of(namespace).length;
  }

  /** Number of machines of all workloads, or of one namespace. */
  machineCount(namespace?: string): number {
    const workloads = namespace === undefined ? [...this.#byId.values()] : this.#of(namespace);
    return workloads.reduce((sum, { spec }) => sum + spec.replicas, 0);
  }

  #of(namespace: string): Workload[] {
    return [...this.#byId.values()].filter((workload) => workload.namespace === namespace);
  }

  /** Workloads that have started and not ended. */
  get deployed(): Workload[] {
    return [...this.#byId.values()].filter((workload) => workload.isDeployed);
  }

  find(id: string): Workload | undefined {
    const workload = this.#byId.get(id);
    return workload?.isDeployed === true ? workload : undefined;
  }

  /** The workload with this id, unless a deploy is replacing it already. */
  replaceable(id: string): Workload | undefined {
    return this.#replaced.has(id) ? undefined : this.find(id);
  }

  /**
   * Takes in an admitted deploy. Call it in the turn of the admission, so that no two deploys pass a limit together.
   *
   *
   * @param accepted Settles when the disk has everything that must stand there before anything starts.
   * @returns the workload, once it runs.
   * @throws NexError; nothing of it is left then.
   */
  async deploy(spec: WorkloadSpec, accepted: Promise<void> = Promise.resolve()): Promise<Workload> {
    const workload = new Workload(this.#makeId(), spec, this.#services, (ended, end) =>
      this.#ended(ended, end),
    );
    this.#byId.set(workload.id, workload);
    if (spec.replaces !== undefined) this.#replaced.add(spec.replaces);
    try {
      await accepted;
      await workload.start((bytes) => this.#checkTotalBytes(spec, bytes));
      await this.#recordAccepted(workload);
    } catch (error) {
      this.#forget(workload);
      if (spec.replaces !== undefined) this.#replaced.delete(spec.replaces);
      throw error;
    }
    this.#services.reporter.tell({ type: "workload_deployed", workload });
    if (this.#drained !== undefined) void workload.drain(drainReason);
    if (spec.replaces !== undefined) {
      await settlesWithin(this.#endReplaced(spec.replaces, workload), replacedWaitMs);
    }
    return workload;
  }

  async #recordAccepted(workload: Workload): Promise<void> {
    try {
      await this.#services.recorded.accepted(workload);
    } catch (error) {
      await workload.stop(errorText(error));
      throw error;
    }
  }

  /**
   * Continues a workload of an earlier node.
   *
   * @throws NexError; nothing runs of it then.
   */
  async restore(record: DeployRecord, spec: WorkloadSpec, previous: PreviousHolder): Promise<Workload> {
    const { id, accepted_ms: startedAtMs, artifact, published, restarts, paused = [] } = record;
    const ended = (one: Workload, end: WorkloadEnd): void => this.#ended(one, end);
    const workload = new Workload(id, spec, this.#services, ended, { startedAtMs, restarts, paused });
    this.#byId.set(id, workload);
    try {
      await workload.restore({ artifact, published }, previous);
    } catch (error) {
      this.#forget(workload);
      throw error;
    }
    const { replicas } = spec;
    this.#services.reporter.tell({
      type: "workload_adopted",
      workload,
      adopted: workload.readyCount,
      replicas,
    });
    return workload;
  }

  /**
   * Pauses a trigger, or lets it go on. Returns once the next node would do the same.
   *
   * @throws NexError `no_such_trigger`, `state_unusable`
   */
  async pauseTrigger(workload: Workload, name: string, isPaused: boolean): Promise<void> {
    await workload.triggers?.setPaused(name, isPaused);
    await this.#services.recorded.paused(workload);
  }

  /** Ends a replaced workload. The new one has its triggers already, and the old one finishes its calls. */
  async #endReplaced(id: string, by: Workload): Promise<void> {
    try {
      await this.#byId.get(id)?.retire(`Replaced by ${by.id}`);
    } catch (error) {
      // The new one runs anyway.
      const reason = errorText(error);
      this.#services.reporter.tell({ type: "replaced_not_stopped", workloadId: id, reason });
    }
    this.#replaced.delete(id);
  }

  /** @param added Bytes about to arrive, beyond those that all workloads have reserved. */
  #checkTotalBytes({ namespace, namespaceBytesMax }: WorkloadSpec, added: number): void {
    const all = [...this.#byId.values()];
    const checks: [workloads: Workload[], bytesMax: number, whose: string][] = [
      [all, this.#totalBytesMax, "node"],
      [all.filter((workload) => workload.namespace === namespace), namespaceBytesMax, "namespace"],
    ];
    for (const [workloads, bytesMax, whose] of checks) {
      const bytes = workloads.reduce((sum, workload) => sum + workload.artifactBytes, added);
      if (bytesMax === 0 || bytes <= bytesMax) continue;
      throw new NexError(
        "artifact_too_large",
        `Workload file size would exceed ${whose} total limitations (${bytesMax} bytes)`,
      );
    }
  }

  #ended(workload: Workload, end: WorkloadEnd): void {
    const { reporter, recentLines } = this.#services;
    reporter.tell({ type: "workload_undeployed", workload, ...end });
    this.endedOnes.add(workload.namespace, {
      id: workload.id,
      name: workload.name,
      type: workload.spec.type,
      started_ms: workload.startedAtMs,
      ended_ms: Date.now(),
      code: end.code,
      reason: end.reason,
      lines: recentLines(workload.id, endedLinesMax),
    });
    this.#forget(workload);
  }

  #forget(workload: Workload): void {
    this.#byId.delete(workload.id);
    this.#services.reporter.forget(workload.id);
    if (this.#byId.size === 0) this.#drained?.resolve();
  }

  /**
   * Lets functions finish their calls and end, and then asks services to stop. Workloads that are about to start end too.
   *
   * @returns when no workload is left.
   */
  drain(): Promise<void> {
    if (this.#drained === undefined) {
      this.#drained = Promise.withResolvers();
      void this.#drainAll();
      if (this.#byId.size === 0) this.#drained.resolve();
    }
    return this.#drained.promise;
  }

  /** Whether deploys are on their way, or restarts of the node's own. */
  get isStarting(): boolean {
    return [...this.#byId.values()].some(({ isDeployed }) => !isDeployed);
  }

  /** From now on what ends here is the next node's, and its artifacts stay. */
  keepForNext(): void {
    this.#services.artifacts.keepsFiles = true;
  }

  /**
   * Lets go of a workload, for another node to adopt; nothing is told.
   *
   * @returns ids of its machines that go on; `undefined` for a workload that is not here.
   */
  async handOver(id: string): Promise<string[] | undefined> {
    const workload = this.#byId.get(id);
    if (workload === undefined) return undefined;
    const machines = await workload.handOver();
    this.#forget(workload);
    return machines;
  }

  /** Lets go of all workloads. */
  async handOverAll(): Promise<void> {
    this.#services.recorded.keep();
    this.keepForNext();
    await Promise.all([...this.#byId.keys()].map((id) => this.handOver(id)));
  }

  /** Functions go first: their calls may need a service. */
  async #drainAll(): Promise<void> {
    const [services, functions] = [false, true].map((isFunction) =>
      this.deployed.filter((workload) => workload.isFunction === isFunction),
    ) as [Workload[], Workload[]];
    await Promise.all(functions.map((workload) => workload.drain(drainReason)));
    await Promise.all(services.map((workload) => workload.drain(drainReason)));
  }

  /** Stops all workloads. Unless the node drains, the next one in its state directory runs them again. */
  async stopAll(reason: string): Promise<void> {
    const { recorded, artifacts } = this.#services;
    if (this.#drained === undefined) {
      recorded.keep();
      artifacts.keepsFiles = recorded.isOn;
    }
    await Promise.all([...this.#byId.values()].map((workload) => workload.stop(reason)));
  }
}
