/** The message by which a machine's agent starts its workload. */
import type { Deploy, RelayListen } from "@nexengine/protocol/agent";
import type { Artifact } from "../artifacts/artifacts.ts";
import type { WorkloadSpec } from "./spec.ts";

/** Facts of the node that the message has beside the spec. */
interface DeployFacts {
  artifact: Artifact;
  /** Where the agent listens for connections to the node's NATS servers. */
  listen: readonly RelayListen[];
  sourceBytesMax: number;
}

/** @returns the message for a workload with this id. */
export function deployMessage(
  workloadId: string,
  spec: Readonly<WorkloadSpec>,
  { artifact, listen, sourceBytesMax }: DeployFacts,
): Deploy {
  const { network, publish, machine } = spec.limits;
  return {
    workloadId,
    name: spec.name,
    namespace: spec.namespace,
    type: spec.type,
    artifactBytes: artifact.bytes,
    argv: spec.argv,
    environment: { ...spec.environment },
    ...(spec.globals === undefined ? {} : { globals: spec.globals }),
    concurrency: spec.concurrency,
    sourceBytesMax,
    ...(machine.memoryBytes === undefined ? {} : { memoryBytesMax: machine.memoryBytes }),
    ...(network === "none" || listen.length === 0 ? {} : { listen: [...listen] }),
    ...(publish.length === 0 ? {} : { ports: publish.map(({ machine_port }) => machine_port) }),
  };
}
