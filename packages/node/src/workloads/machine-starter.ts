/** Starts a workload on machines. */
import type { Deployed } from "@nexengine/protocol/agent";
import type { HostCallHandler } from "../agent-client/host-calls.ts";
import type { Machine, MachineEvents } from "../machines/machine.ts";
import { deployMessage } from "./deploy-message.ts";
import { templateOf } from "./machine-template.ts";
import type { WorkloadServices } from "./services.ts";
import type { WorkloadSpec } from "./spec.ts";
import type { WorkloadArtifact } from "./workload-artifact.ts";

/** The workload that is started. */
export interface StartedWorkload {
  readonly id: string;
  readonly spec: Readonly<WorkloadSpec>;
  readonly artifact: WorkloadArtifact;
  /** Answers host calls of a function; absent for a service. */
  readonly hostCalls: HostCallHandler | undefined;
}

export class MachineStarter {
  readonly #workload: StartedWorkload;
  readonly #services: WorkloadServices;

  constructor(workload: StartedWorkload, services: WorkloadServices) {
    this.#workload = workload;
    this.#services = services;
  }

  /** Reserves a machine of the workload's template. @throws NexError */
  async reserve(): Promise<Machine> {
    const { relayOf, pool, tuning } = this.#services;
    const { namespace, limits } = this.#workload.spec;
    const template = await templateOf(limits, relayOf(namespace));
    return await pool.reserve(template, namespace, tuning.machineWaitMs);
  }

  /** Opens the machine's ways to the outside: relayed streams, and host services for a function. */
  serve(machine: Machine): void {
    const { spec, hostCalls } = this.#workload;
    if (spec.limits.network !== "none")
      machine.agent.allowRelay(this.#services.relayOf(spec.namespace).targets);
    if (hostCalls !== undefined) machine.agent.hostCalls.serve(hostCalls);
  }

  /** Starts the workload on a reserved machine. @param variables Further ones of the environment @throws NexError */
  async deploy(
    machine: Machine,
    events: MachineEvents,
    variables: Readonly<Record<string, string>> = {},
  ): Promise<Deployed> {
    const { id: workloadId, spec, artifact: own } = this.#workload;
    const artifact = await own.forMachine();
    this.serve(machine);
    const { tuning, relayOf } = this.#services;
    const message = deployMessage(spec, {
      ...{ workloadId, artifact, variables },
      sourceBytesMax: tuning.sourceBytesMax,
      listen: relayOf(spec.namespace).listen,
    });
    return await machine.deploy(message, artifact.path, tuning.deployTimeMs, events);
  }

  /** Starts the workload on a machine of its own, which is ended when that fails. @throws NexError */
  async start(events: MachineEvents, variables: Readonly<Record<string, string>>): Promise<Machine> {
    const machine = await this.reserve();
    try {
      await this.deploy(machine, events, variables);
      return machine;
    } catch (error) {
      await machine.end(0);
      throw error;
    }
  }
}
