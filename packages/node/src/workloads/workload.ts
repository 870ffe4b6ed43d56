/** One workload: its spec, its machines, and its life. */
import type { MachineRecord } from "@nexengine/machines";
import { settlesWithin } from "@nexengine/machines/internal";
import type { Exited } from "@nexengine/protocol/agent";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { functionTypes, type Published } from "@nexengine/protocol/messages";
import type { Claims } from "@nexengine/protocol/tokens";
import type { HostCallHandler } from "../agent-client/host-calls.ts";
import type { WorkloadConnections } from "../connections/connections.ts";
import { CallCounters } from "../functions/counters.ts";
import { FunctionRuntime } from "../functions/function-runtime.ts";
import type { TriggerList } from "../functions/trigger-list.ts";
import type { HostServiceConnections } from "../host-services/host-services.ts";
import { healthOf } from "./health-checks.ts";
import { JobRuntime } from "./job-runtime.ts";
import type { JobHost } from "./jobs.ts";
import { MachineStarter } from "./machine-starter.ts";
import type { PreviousHolder, RestoredFacts, WorkloadHistory } from "./previous-holder.ts";
import { PublishedPorts } from "./published-ports.ts";
import { Replica, type WorkloadEnd } from "./replica.ts";
import { RestartBackoff } from "./restart.ts";
import type { WorkloadServices } from "./services.ts";
import { isJob, type WorkloadSpec } from "./spec.ts";
import { WorkloadArtifact } from "./workload-artifact.ts";
import type { WorkloadHealth } from "./workload-health.ts";
import type { WorkloadState } from "./workload-state.ts";
import { statusOf, type WorkloadStatus } from "./workload-status.ts";

export class Workload {
  readonly id: string;
  readonly spec: Readonly<WorkloadSpec>;
  readonly startedAtMs: number;
  readonly #restartsBefore: number;
  readonly #pausedBefore: readonly string[];
  readonly #services: WorkloadServices;
  readonly #ended: (workload: Workload, end: WorkloadEnd) => void;
  readonly #replicas: Replica[];
  readonly #counters = new CallCounters();
  #state: WorkloadState = "admitted";
  #essential: boolean;
  /** Set when its restart policy no longer applies. */
  #staysDown = false;
  #connections: WorkloadConnections | undefined;
  readonly #artifact: WorkloadArtifact;
  readonly #starter: MachineStarter;
  /** The function half; absent for a service. */
  #function: FunctionRuntime | undefined;
  /** The jobs of a service with schedules. */
  #jobs: JobRuntime | undefined;
  /** Absent without a health check, and before it starts. */
  #health: WorkloadHealth | undefined;
  #ports: PublishedPorts | undefined;
  #endedReplicas = 0;
  #nextPort = 0;
  #stopping: Promise<void> | undefined;
  #recordRemoved: Promise<void> | undefined;
  /** Why its connection was closed for good while it started. */
  #lostConnection: string | undefined;
  /** @param ended Called once, when a workload that ran has ended. */
  constructor(
    id: string,
    spec: WorkloadSpec,
    services: WorkloadServices,
    ended: (workload: Workload, end: WorkloadEnd) => void,
    { startedAtMs = Date.now(), restarts = 0, paused = [] }: WorkloadHistory = {},
  ) {
    this.id = id;
    this.startedAtMs = startedAtMs;
    this.#restartsBefore = restarts;
    this.#pausedBefore = paused;
    this.spec = spec;
    this.#essential = spec.essential;
    this.#services = services;
    this.#artifact = new WorkloadArtifact(id, spec, services.artifacts);
    const hostCalls = (): HostCallHandler | undefined => this.#function?.hostCalls;
    const started = {
      ...{ id, spec, artifact: this.#artifact },
      get hostCalls() {
        return hostCalls();
      },
    };
    this.#starter = new MachineStarter(started, services);
    this.#ended = ended;
    this.#replicas = Array.from({ length: isJob(spec) ? 0 : spec.replicas }, () => this.#replica());
  }

  get namespace(): string {
    return this.spec.namespace;
  }

  get name(): string {
    return this.spec.name;
  }

  get claims(): Claims {
    return this.spec.claims;
  }

  get state(): WorkloadState {
    if (this.#state !== "running" || this.#jobs !== undefined) return this.#state;
    return this.#replicas.some(({ isRunning }) => isRunning) ? "running" : "restarting";
  }

  /** Number of running machines. */
  get readyCount(): number {
    return this.#jobs?.size ?? this.#replicas.filter(({ isRunning }) => isRunning).length;
  }

  /** Number of restarts of all its machines. */
  get restarts(): number {
    return this.#replicas.reduce((sum, { restarts }) => sum + restarts, this.#restartsBefore);
  }

  /** Why it does not plainly run. */
  status(nowMs: number): WorkloadStatus {
    const replicas = this.#replicas.map((replica) => replica.status(nowMs));
    return statusOf(replicas, this.#health, nowMs, this.triggers?.problem);
  }

  /** Counters of its calls. */
  get counters(): CallCounters {
    return this.#counters;
  }

  /** Triggers of a function or a job. */
  get triggers(): TriggerList | undefined {
    return (this.#function ?? this.#jobs)?.triggers;
  }

  get isFunction(): boolean {
    return functionTypes.has(this.spec.type);
  }

  /** SHA-256 of the artifact in lower-case hex; empty until it has been read. */
  get sha256(): string {
    return this.#artifact.sha256;
  }

  /** Bytes that its artifact takes on disk, reserved before the first byte. */
  get artifactBytes(): number {
    return this.#artifact.bytes;
  }

  /** Published ports and their addresses on this host. */
  get published(): readonly Published[] {
    return this.#ports?.list ?? [];
  }

  /** Maximum log bytes per second; the node's default when absent. */
  get logBytesPerSecond(): number | undefined {
    return this.spec.limits.logBytesPerSecond;
  }

  /** Total run time of its calls. */
  get runNs(): number {
    return this.#counters.runNs;
  }

  /** Whether it has started and not ended. */
  get isDeployed(): boolean {
    return this.#state === "running" || this.#state === "draining";
  }

  /** Disables further restarts. */
  clearEssential(): void {
    this.#essential = false;
    this.#staysDown = true;
  }

  /**
   * Reads the artifact, reserves machines and starts. The workload runs when this returns.
   *
   * @param checkRoom Throws when there is no room for an artifact of this size.
   * @throws NexError; the workload has `failed` then.
   */
  async start(checkRoom: (bytes: number) => void): Promise<void> {
    try {
      this.#connections = await this.#connect();
      this.#demand("admitted");
      await this.#artifact.read(this.#connections, checkRoom);
      this.#demand("admitted");
      this.#state = "starting";
      this.#makeRuntime(this.#connections);
      this.#health = healthOf(this, this.spec, this.#services, this.#connections.triggers);
      await this.#publish();
      await Promise.all(this.#replicas.map((replica) => replica.start()));
      this.#demand("starting");
      await (this.#jobs ?? this.triggers)?.start(false);
      this.#demand("starting");
      this.#run();
    } catch (error) {
      await this.#fail();
      throw error;
    }
  }

  /**
   * Continues a workload of an earlier node: on the machines that still run, and on new ones for those that do not.
   *
   * @param restored What its record says.
   * @throws NexError when it can't be continued at all; the workload has `failed` then.
   */
  async restore(restored: RestoredFacts, previous: PreviousHolder): Promise<void> {
    try {
      this.#connections = await this.#connect();
      this.#artifact.restore(this.#connections, restored.artifact);
      this.#demand("admitted");
      this.#state = "starting";
      this.#makeRuntime(this.#connections);
      this.#health = healthOf(this, this.spec, this.#services, this.#connections.triggers);
      const whyNot = await this.#takeOver(restored, previous);
      this.#demand("starting");
      this.#state = "running";
      for (const [at, replica] of this.#replicas.entries()) {
        const why = whyNot[at];
        if (why === undefined) replica.run();
        else replica.startAgain(why);
      }
    } catch (error) {
      await this.#fail();
      throw error;
    }
  }

  /**
   * Gets the workload from the node before. A function is subscribed before that node lets go, so its messages wait. Where
   * machines end with their node, new ones start before that.
   *
   * @returns for each replica why it needs another machine; `undefined` when it runs
   */
  async #takeOver({ published }: RestoredFacts, previous: PreviousHolder): Promise<(string | undefined)[]> {
    const isFree = this.isFunction || this.spec.limits.publish.length === 0;
    const startsFirst = previous.isRunning && !previous.hasMachines && isFree;
    const started = startsFirst
      ? await Promise.all(this.#replicas.map((replica) => replica.tryStart()))
      : undefined;
    if (previous.isRunning) await (this.#jobs ?? this.triggers)?.start(true);
    const machines = await previous.release();
    await this.#publish(published);
    const whyNot =
      started ?? (await Promise.all(this.#replicas.map((replica, at) => this.#adopt(replica, machines[at]))));
    if (!previous.isRunning) await (this.#jobs ?? this.triggers)?.start(true);
    return whyNot;
  }

  /** @returns why the replica needs another machine; `undefined` when it has this one */
  async #adopt(replica: Replica, record: MachineRecord | undefined): Promise<string | undefined> {
    if (record === undefined) return "the node was restarted, and its machine did not outlive it";
    try {
      const adopted = await this.#services.pool.adopt(record, {
        workloadId: this.id,
        prepare: (machine) => {
          this.#starter.serve(machine);
          const events = replica.take(machine);
          return this.#health?.adopt(machine, events) ?? events;
        },
      });
      if (adopted === undefined) return "the node was restarted, and its machine is gone";
      this.#function?.addMachine(adopted.machine, adopted.concurrency);
      return undefined;
    } catch (error) {
      return errorText(error);
    }
  }

  #connect(): Promise<WorkloadConnections> {
    const { namespace, isFunction, spec } = this;
    const lost = (why: string): void => this.#disconnected(why);
    return this.#services.connections.of({ namespace, isFunction, own: spec.perRequestConnections, lost });
  }

  /** Connections of host services. Messages use the per-request trigger connection, if there is one. */
  #messages({ hostServices, triggers }: WorkloadConnections): HostServiceConnections {
    const own = this.spec.perRequestConnections.some(({ what }) => what === "trigger_connection");
    return { buckets: hostServices, messages: own ? triggers : hostServices };
  }

  #run(): void {
    this.#state = "running";
    for (const replica of this.#replicas) replica.run();
  }

  #demand(state: WorkloadState): void {
    if (this.#lostConnection !== undefined) {
      throw new NexError("connection_failed", `Failed to deploy workload: ${this.#lostConnection}`);
    }
    if (this.#state !== state)
      throw new NexError("workload_not_started", "Failed to deploy workload: it ended before it ran");
  }

  /** @param code Exit status; absent when the machine was lost. */
  #restarts(code: number | undefined): boolean {
    const policy = this.spec.restart?.policy;
    if (policy === undefined || this.#staysDown)
      return (code === undefined && this.isFunction) || (this.#essential && code !== 0);
    return policy === "always" || (policy === "on-failure" && code !== 0);
  }

  #replica(): Replica {
    const { reporter, recorded } = this.#services;
    return new Replica({
      mayOverlap: this.isFunction,
      reserve: () => this.#starter.reserve(),
      deploy: async (machine, machineEvents) => {
        const followed = this.#health?.follow(machine, machineEvents);
        const deployed = await this.#starter.deploy(machine, followed?.events ?? machineEvents);
        await followed?.ready();
        this.#function?.addMachine(machine, deployed.concurrency ?? 1);
      },
      removed: (machine, why) => {
        this.#health?.forget(machine, why);
        this.#function?.removeMachine(machine, why);
      },
      log: (level, text) => reporter.line(this, level, text),
      restarts: (code) => this.#restarts(code),
      backoff: new RestartBackoff(
        this.spec.restart?.max_restarts,
        this.spec.restart?.backoff_ms,
        this.#restartsBefore,
      ),
      restarting: (reason, delayMs) => {
        reporter.tell({ type: "workload_restarting", workload: this, reason, delayMs });
        recorded.restarted(this);
      },
      ended: (end) => {
        // The workload ends with its last replica.
        if (this.#state === "running" && ++this.#endedReplicas === this.#replicas.length)
          void this.#end(end, 0);
      },
    });
  }

  /** @param given Host ports that it had before, which it gets again. */
  async #publish(given: readonly Published[] = []): Promise<void> {
    const publish = this.spec.limits.publish.map((port) => {
      const before = given.find(({ machine_port }) => machine_port === port.machine_port);
      return before === undefined ? port : { ...port, host_port: before.host_port };
    });
    if (publish.length === 0) return;
    this.#ports = await PublishedPorts.open(publish, this.#services.publishAddress, (socket, port) => {
      const running = this.#replicas.filter(({ isRunning }) => isRunning);
      const { machine } = running[this.#nextPort++ % running.length] ?? {};
      if (machine === undefined) socket.destroy();
      else machine.agent.carry(socket, port);
    });
  }

  #makeRuntime(connections: WorkloadConnections): void {
    const common = {
      owner: this,
      triggers: this.spec.triggers,
      pausedTriggers: this.#pausedBefore,
      deployedAtMs: this.startedAtMs,
      connection: connections.triggers,
      isOwnConnection: connections.hasOwnTriggers,
      services: this.#services,
    };
    if (isJob(this.spec)) {
      const start: JobHost["start"] = (...how) => this.#starter.start(...how);
      this.#jobs = new JobRuntime({ ...common, start, jobsMax: this.spec.replicas });
    }
    if (!this.isFunction) return;
    this.#function = new FunctionRuntime({
      ...common,
      hostServices: this.#messages(connections),
      callTimeMs: this.spec.limits.callTimeMs,
      counters: this.#counters,
      abandon: (machine, why) => {
        // The call is to blame, not the machine, so the next machine starts at once.
        for (const replica of this.#replicas) replica.replace(machine, why, 0);
      },
    });
  }

  /** Ends the workload: without its connection there are no calls, and another machine would not help. */
  #disconnected(why: string): void {
    this.#services.reporter.tell({ type: "workload_disconnected", workload: this, reason: why });
    if (this.isDeployed) void this.#end({ code: -1, reason: why }, 0);
    else this.#lostConnection = why;
  }

  /** Finishes the calls of a function, and stops. @param reason For its end. */
  async drain(reason: string): Promise<void> {
    this.#health?.stop();
    await (this.#function ?? this.#jobs)?.drain();
    await this.stop(reason);
  }

  /**
   * Ends a workload whose place another one has taken: as a drain, within the time that a call can take. The next node
   * does not run it again.
   */
  async retire(reason: string): Promise<void> {
    if (!this.isDeployed) return;
    this.#state = "draining";
    await this.#forgetRecord();
    const { callQueueTimeMs, callTimeMs } = this.#services.tuning;
    const callTimeMsMax = callQueueTimeMs + (this.spec.limits.callTimeMs ?? callTimeMs);
    this.#health?.stop();
    if (this.#function !== undefined) await settlesWithin(this.#function.drain(), callTimeMsMax);
    await this.stop(reason);
  }

  /**
   * Lets go of the workload, for another node to adopt. Calls that it has finish first; those that take too long fail. Its
   * record and its artifact stay.
   *
   * @returns ids of the machines that go on.
   */
  async handOver(): Promise<string[]> {
    this.#stopping ??= this.#handOver();
    await this.#stopping;
    return this.#replicas.flatMap(({ detachedMachine }) => detachedMachine ?? []);
  }

  async #handOver(): Promise<void> {
    const { handOverDrainMs, stopGraceMs } = this.#services.tuning;
    this.#state = "draining";
    await this.#try([
      () => this.#health?.stop(),
      () => this.#function?.finish(handOverDrainMs),
      () => this.#jobs?.stop(stopGraceMs, false),
      () => Promise.all(this.#replicas.map((replica) => replica.handOver(stopGraceMs))),
      () => this.#ports?.[Symbol.asyncDispose](),
      () => this.#connections?.[Symbol.asyncDispose](),
    ]);
    this.#state = "stopped";
  }

  /** Stops the workload. Idempotent; settles when nothing of it is left. */
  stop(reason: string): Promise<void> {
    return this.#end({ code: 0, reason }, this.#services.tuning.stopGraceMs);
  }

  /** Removes the record, once. */
  #forgetRecord(): Promise<void> {
    this.#recordRemoved ??= this.#services.recorded.ended(this);
    return this.#recordRemoved;
  }

  /** Never rejects: most callers do not wait for it. */
  #end(end: WorkloadEnd, graceMs: number): Promise<void> {
    this.#stopping ??= this.#endOnce(end, graceMs);
    return this.#stopping;
  }

  async #endOnce(end: WorkloadEnd, graceMs: number): Promise<void> {
    const ran = this.isDeployed;
    this.#state = "draining";
    // First, so that a node which dies now does not run it again.
    if (ran) await this.#forgetRecord();
    const exit = await this.#release(graceMs);
    this.#state = ran ? "stopped" : "failed";
    if (ran) this.#ended(this, { ...end, code: exit?.code ?? end.code });
  }

  async #fail(): Promise<void> {
    if (this.#stopping !== undefined) {
      await this.#stopping;
      // Resources that arrived after the stop had started.
      await this.#artifact[Symbol.asyncDispose]();
      await this.#connections?.[Symbol.asyncDispose]();
      return;
    }
    this.#state = "failed";
    await this.#release(0);
  }

  /** Releases everything it holds. */
  async #release(graceMs: number): Promise<Exited | undefined> {
    const { tuning, recorded } = this.#services;
    let exits: (Exited | undefined)[] = [];
    await this.#try([
      () => this.#health?.stop(),
      () => this.#function?.stop(graceMs > 0 ? tuning.callDrainMs : 0, !recorded.isKept),
      () => this.#jobs?.stop(graceMs, !recorded.isKept),
      async () => {
        exits = await Promise.all(this.#replicas.map((replica) => replica.end(graceMs)));
      },
      () => this.#ports?.[Symbol.asyncDispose](),
      () => this.#artifact[Symbol.asyncDispose](),
      () => this.#connections?.[Symbol.asyncDispose](),
    ]);
    return exits.find((exit) => exit !== undefined);
  }

  /** Takes all steps. One that fails is reported. */
  async #try(steps: readonly (() => unknown)[]): Promise<void> {
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        const reason = errorText(error);
        this.#services.reporter.tell({ type: "workload_not_released", workload: this, reason });
      }
    }
  }
}
