/** The message that starts a workload on a machine. */
import { type Deploy, type RelayListen, showTrigger } from "@nexengine/protocol/agent";
import type { Artifact } from "../artifacts/artifacts.ts";
import type { WorkloadSpec } from "./spec.ts";

/** Parts of the message that the spec does not say. */
interface DeployFacts {
  workloadId: string;
  artifact: Artifact;
  sourceBytesMax: number;
  /** Places in the machine that stand for NATS servers. */
  listen: readonly RelayListen[];
  /** Further variables of the environment; those of the deploy win. */
  variables?: Readonly<Record<string, string>>;
}

export function deployMessage(
  spec: WorkloadSpec,
  { workloadId, artifact, sourceBytesMax, listen, variables = {} }: DeployFacts,
): Deploy {
  const { network, machine } = spec.limits;
  const ports = relayedPorts(spec);
  return {
    workloadId,
    name: spec.name,
    namespace: spec.namespace,
    type: spec.type,
    artifactBytes: artifact.bytes,
    argv: spec.argv,
    environment: { ...variables, ...spec.environment },
    ...(spec.globals === undefined ? {} : { globals: spec.globals }),
    concurrency: spec.concurrency,
    ...(spec.triggers.length === 0 ? {} : { triggers: spec.triggers.map(showTrigger) }),
    sourceBytesMax,
    ...(machine.memoryBytes === undefined ? {} : { memoryBytesMax: machine.memoryBytes }),
    ...(network === "none" || listen.length === 0 ? {} : { listen: [...listen] }),
    ...(ports.length === 0 ? {} : { ports }),
  };
}

/** Ports of the machine that its agent connects to: published ones in their order, then the checked one. */
export function relayedPorts({ limits, health }: Pick<WorkloadSpec, "limits" | "health">): number[] {
  const published = limits.publish.map(({ machine_port }) => machine_port);
  const checked = health?.check.type === "tcp" ? [health.check.port] : [];
  return [...new Set([...published, ...checked])];
}
