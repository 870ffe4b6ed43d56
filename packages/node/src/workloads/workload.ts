/** One workload: what was deployed, the machine it runs in, and how it lives and ends. */
import {
  type Claims,
  type Deploy,
  type Exited,
  errorText,
  functionTypes,
  NexError,
  type Published,
  runTickNs,
} from "@nexengine/protocol/internal";
import type { Artifact } from "../artifacts/artifacts.ts";
import type { WorkloadConnections } from "../connections/connections.ts";
import { subscribePermitted } from "../connections/denied-subscriptions.ts";
import type { HostServiceConnections, HostServices } from "../host-services/host-services.ts";
import type { Machine } from "../pool/machine.ts";
import { triggerConnectionOf } from "../triggers/connection-of.ts";
import { SubjectTriggers } from "../triggers/subject-triggers.ts";
import { FunctionCalls } from "./function-calls.ts";
import { templateOf } from "./machine-template.ts";
import { PublishedPorts } from "./published-ports.ts";
import { RestartBackoff } from "./restart.ts";
import type { WorkloadServices } from "./services.ts";
import type { WorkloadSpec } from "./spec.ts";

/**
 * - `admitted`: the request was accepted; its artifact is on the way.
 * - `starting`: it has a machine whose agent starts it for the first time.
 * - `running`: it runs, and a function's triggers are subscribed.
 * - `restarting`: its machine is gone and it waits for another one.
 * - `draining`: it takes no more calls and is being ended.
 * - `stopped`: it has ended after having run; nothing of it is left.
 * - `failed`: it never ran; nothing of it is left.
 */
export type WorkloadState =
  | "admitted"
  | "starting"
  | "running"
  | "restarting"
  | "draining"
  | "stopped"
  | "failed";

/** How a workload ended. */
export interface WorkloadEnd {
  /** The exit status; -1 for a signal, or where none is known. */
  code: number;
  reason: string;
}

export class Workload {
  readonly id: string;
  readonly spec: Readonly<WorkloadSpec>;
  readonly startedAtMs = Date.now();
  readonly #services: WorkloadServices;
  readonly #ended: (workload: Workload, end: WorkloadEnd) => void;
  readonly #backoff = new RestartBackoff();
  #state: WorkloadState = "admitted";
  #essential: boolean;
  #connections: WorkloadConnections | undefined;
  #artifact: Artifact | undefined;
  #machine: Machine | undefined;
  #calls: FunctionCalls | undefined;
  #triggers: SubjectTriggers | undefined;
  #hostServices: HostServices | undefined;
  #ports: PublishedPorts | undefined;
  #runNs = 0;
  #stopping: Promise<void> | undefined;
  /** Why its connection was closed for good while it started. */
  #lostConnection: string | undefined;
  #restart: NodeJS.Timeout | undefined;
  /** What its machine told of an end before the workload counted as running. */
  #early: (() => void) | undefined;

  /** @param ended Called once, when a workload that ran has ended. */
  constructor(
    id: string,
    spec: WorkloadSpec,
    services: WorkloadServices,
    ended: (workload: Workload, end: WorkloadEnd) => void,
  ) {
    this.id = id;
    this.spec = spec;
    this.#essential = spec.essential;
    this.#services = services;
    this.#ended = ended;
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
    return this.#state;
  }

  get isFunction(): boolean {
    return functionTypes.has(this.spec.type);
  }

  /** Lower-case hex of the artifact; empty until it is there. */
  get sha256(): string {
    return this.#artifact?.sha256 ?? "";
  }

  get artifactBytes(): number {
    return this.#artifact?.bytes ?? 0;
  }

  /** Where its ports are reached on this host. */
  get published(): readonly Published[] {
    return this.#ports?.list ?? [];
  }

  /** Log bytes a second, where the node's own limit is not its own. */
  get logBytesPerSecond(): number | undefined {
    return this.spec.limits.logBytesPerSecond;
  }

  /** The time that a function's calls ran, all together. */
  get runNs(): number {
    return this.#runNs;
  }

  /** Has it run, and not ended? */
  get isDeployed(): boolean {
    return this.#state === "running" || this.#state === "restarting" || this.#state === "draining";
  }

  /** It will not be restarted any more. */
  clearEssential(): void {
    this.#essential = false;
  }

  /**
   * Brings the artifact, takes a machine and starts; when this returns it runs.
   *
   * @throws NexError; the workload has `failed` then.
   */
  async start(artifactRoom: (bytes: number) => void): Promise<void> {
    try {
      const { tuning } = this.#services;
      this.#connections = await this.#services.connections.of({
        namespace: this.namespace,
        isFunction: this.isFunction,
        own: this.spec.ownConnections,
        lost: (why) => this.#disconnected(why),
      });
      this.#demand("admitted");
      const jsDomain = this.spec.jsDomain ?? this.#connections.jsDomain;
      this.#artifact = await this.#services.artifacts.fetch(this.#connections.artifacts, {
        id: this.id,
        bucket: this.spec.bucket,
        key: this.spec.key,
        ...(jsDomain === undefined ? {} : { jsDomain }),
        ...(this.spec.sha256 === undefined ? {} : { sha256: this.spec.sha256 }),
        bytesMax: this.spec.artifactBytesMax,
        type: this.spec.type,
      });
      artifactRoom(this.#artifact.bytes);
      this.#demand("admitted");
      this.#state = "starting";
      if (this.isFunction) {
        this.#calls = this.#functionCalls();
        this.#hostServices = this.#services.hostServicesOf(this, this.#messages(this.#connections));
      }
      await this.#publish();
      await this.#startMachine(tuning.machineWaitMs);
      this.#demand("starting");
      await this.#subscribe();
      this.#demand("starting");
      this.#run();
    } catch (error) {
      await this.#fail();
      throw error;
    }
  }

  /** What host services act through: messages go where the triggers of a request with a connection for them come from. */
  #messages({ hostServices, triggers }: WorkloadConnections): HostServiceConnections {
    const own = this.spec.ownConnections.some(({ what }) => what === "trigger_connection");
    return { buckets: hostServices, messages: own ? triggers : hostServices };
  }

  /** An agent may say in one breath that a workload runs and that it has ended. */
  #run(): void {
    this.#state = "running";
    const early = this.#early;
    this.#early = undefined;
    // Whoever waits for the start hears of it first.
    if (early !== undefined) setImmediate(early);
  }

  /** @returns whether that must wait until it runs; then it is told again. */
  #isEarly(machine: Machine, again: () => void): boolean {
    if (machine !== this.#machine || (this.#state !== "starting" && this.#state !== "restarting"))
      return false;
    this.#early ??= again;
    return true;
  }

  #demand(state: WorkloadState): void {
    if (this.#lostConnection !== undefined) {
      throw new NexError("connection_failed", `Failed to deploy workload: ${this.#lostConnection}`);
    }
    if (this.#state === state) return;
    throw new NexError("workload_not_started", "Failed to deploy workload: it ended before it ran");
  }

  async #startMachine(waitMs: number): Promise<void> {
    const { pool, tuning } = this.#services;
    const relay = this.#services.relayOf(this.namespace);
    const artifact = this.#artifact as Artifact;
    const machine = await pool.reserve(await templateOf(this.spec.limits, relay), waitMs);
    if (this.#state !== "starting" && this.#state !== "restarting") {
      // It was stopped while it had none, so nobody else ends this one.
      await machine.end(0);
      throw new NexError("workload_not_started", "Failed to deploy workload: it ended before it ran");
    }
    this.#machine = machine;
    this.#early = undefined;
    if (this.spec.limits.network !== "none") machine.agent.allowRelay(relay.targets);
    if (this.#hostServices !== undefined) machine.agent.hostCalls.serve(this.#hostServices.call);
    const deployed = await machine.deploy(this.#deployMessage(artifact), artifact.path, tuning.deployTimeMs, {
      log: (level, text) => this.#services.logs.line(this, level, text),
      exited: (exit) => this.#exited(machine, exit),
      lost: (why) => this.#lost(machine, why),
    });
    this.#calls?.addMachine(machine, deployed.concurrency ?? 1);
  }

  async #publish(): Promise<void> {
    const { publish } = this.spec.limits;
    if (publish.length === 0) return;
    this.#ports = await PublishedPorts.open(publish, this.#services.publishAddress, (socket, port) => {
      if (this.#machine === undefined) socket.destroy();
      else this.#machine.agent.carry(socket, port);
    });
  }

  #deployMessage(artifact: Artifact): Deploy {
    const { spec } = this;
    const { network, publish } = spec.limits;
    const { listen } = this.#services.relayOf(this.namespace);
    return {
      workloadId: this.id,
      name: spec.name,
      namespace: spec.namespace,
      type: spec.type,
      artifactBytes: artifact.bytes,
      argv: spec.argv,
      environment: { ...spec.environment },
      ...(spec.globals === undefined ? {} : { globals: spec.globals }),
      concurrency: spec.concurrency,
      sourceBytesMax: this.#services.tuning.sourceBytesMax,
      ...(network === "none" || listen.length === 0 ? {} : { listen }),
      ...(publish.length === 0 ? {} : { ports: publish.map(({ machine_port }) => machine_port) }),
    };
  }

  async #subscribe(): Promise<void> {
    if (this.#calls === undefined || this.#connections === undefined) return;
    const { events, logs } = this.#services;
    const triggers = new SubjectTriggers(triggerConnectionOf(this.#connections.triggers), this.#calls, {
      succeeded: (_, trigger_subject, runTicks) => {
        const runNs = runTicks * runTickNs;
        this.#runNs += runNs;
        events.call("function_exec_succeeded", this, { trigger_subject, elapsed_nanos: runNs });
      },
      failed: (_, trigger_subject, failure) => {
        logs.line(this, "ERROR", `Function execution failed: ${failure.text}`);
        events.call("function_exec_failed", this, {
          trigger_subject,
          error: failure.text,
          code: failure.code,
        });
      },
    });
    this.#triggers = triggers;
    const { triggerSubjects } = this.spec;
    await subscribePermitted(this.#connections.triggers, triggerSubjects, () =>
      triggers.subscribe(this, triggerSubjects),
    );
  }

  #functionCalls(): FunctionCalls {
    const { tuning } = this.#services;
    return new FunctionCalls({
      callTimeMs: this.spec.limits.callTimeMs ?? tuning.callTimeMs,
      callQueueTimeMs: tuning.callQueueTimeMs,
      callQueueMax: tuning.callQueueMax,
      deadlineGraceMs: tuning.deadlineGraceMs,
      abandon: (machine, why) => {
        // The call is to blame, not the machine: the next one starts at once.
        if (machine === this.#machine) this.#replaceMachine(machine, why, 0);
      },
    });
  }

  /** The workload ended by itself. */
  #exited(machine: Machine, exit: Exited): void {
    if (this.#isEarly(machine, () => this.#exited(machine, exit))) return;
    if (machine !== this.#machine || this.#state !== "running") return;
    const code = exit.code ?? -1;
    if (this.#essential && code !== 0) this.#restartLater(machine, `exited with status ${code}`, code);
    else
      void this.#end(
        { code, reason: exit.signal === undefined ? `status: ${code}` : `status: ${code} (${exit.signal})` },
        0,
      );
  }

  /** The machine ended without being asked. */
  #lost(machine: Machine, why: string): void {
    if (this.#isEarly(machine, () => this.#lost(machine, why))) return;
    if (machine !== this.#machine || this.#state !== "running") return;
    if (this.isFunction || this.#essential) this.#restartLater(machine, why, -1);
    else void this.#end({ code: -1, reason: why }, 0);
  }

  /** A machine of its own would not help: without the connection there are no calls, or nothing that they may reach. */
  #disconnected(why: string): void {
    this.#services.log.warn(
      { workload: this.id, name: this.name, reason: why },
      "workload lost its connection",
    );
    if (this.isDeployed) void this.#end({ code: -1, reason: why }, 0);
    else this.#lostConnection = why;
  }

  #restartLater(machine: Machine, why: string, code: number): void {
    const delayMs = this.#backoff.next(Date.now());
    if (delayMs === undefined) {
      void this.#end({ code, reason: `${why}; restarted too often` }, 0);
      return;
    }
    this.#replaceMachine(machine, why, delayMs);
  }

  #replaceMachine(machine: Machine, why: string, delayMs: number): void {
    this.#state = "restarting";
    this.#machine = undefined;
    this.#calls?.removeMachine(machine, `the function's machine ended: ${why}`);
    this.#services.events.workload("workload_restarting", this, {
      workload_name: this.name,
      reason: why,
      delay_ms: delayMs,
    });
    this.#services.log.warn(
      { workload: this.id, name: this.name, reason: why, delayMs },
      "workload restarts",
    );
    const ended = machine.end(0);
    this.#restart = setTimeout(() => void this.#restartNow(ended), delayMs);
  }

  async #restartNow(formerEnded: Promise<unknown>): Promise<void> {
    try {
      // A service must not run twice; a function's next machine need not wait for the last one.
      if (!this.isFunction) await formerEnded;
      if (this.#state !== "restarting") return;
      await this.#startMachine(this.#services.tuning.machineWaitMs);
      if ((this.#state as WorkloadState) === "restarting") this.#run();
    } catch (error) {
      if (this.#state !== "restarting") return;
      const machine = this.#machine;
      if (machine !== undefined) this.#restartLater(machine, errorText(error), -1);
      else await this.#end({ code: -1, reason: errorText(error) }, 0);
    }
  }

  /** A function takes no more calls, finishes those that it has, and ends; a service goes on. */
  async drain(): Promise<void> {
    if (this.#calls === undefined) return;
    await this.#triggers?.unsubscribe().catch(() => undefined);
    await this.#calls.idle();
    await this.stop("Node is in lame duck mode");
  }

  /** Ends the workload for a reason from outside. Idempotent; settles when nothing of it is left. */
  stop(reason: string): Promise<void> {
    return this.#end({ code: 0, reason }, this.#services.tuning.stopGraceMs);
  }

  #end(end: WorkloadEnd, graceMs: number): Promise<void> {
    this.#stopping ??= this.#endOnce(end, graceMs);
    return this.#stopping;
  }

  async #endOnce(end: WorkloadEnd, graceMs: number): Promise<void> {
    const ran = this.isDeployed;
    this.#state = "draining";
    const exit = await this.#release(graceMs);
    this.#state = ran ? "stopped" : "failed";
    if (ran) this.#ended(this, { ...end, code: exit?.code ?? end.code });
  }

  async #fail(): Promise<void> {
    if (this.#stopping !== undefined) {
      await this.#stopping;
      // What came after its end was begun.
      await this.#artifact?.[Symbol.asyncDispose]();
      await this.#connections?.[Symbol.asyncDispose]();
      return;
    }
    this.#state = "failed";
    await this.#release(0);
  }

  async #release(graceMs: number): Promise<Exited | undefined> {
    clearTimeout(this.#restart);
    await this.#triggers?.unsubscribe().catch(() => undefined);
    await this.#calls?.close(graceMs > 0 ? this.#services.tuning.callDrainMs : 0);
    this.#hostServices?.end();
    const exit = await this.#machine?.end(graceMs);
    await this.#ports?.[Symbol.asyncDispose]();
    await this.#artifact?.[Symbol.asyncDispose]();
    await this.#connections?.[Symbol.asyncDispose]();
    return exit;
  }
}
