/** Templates for booting the machines of workloads. */
import type { RelayPlan } from "../agent-client/relay-plan.ts";
import type { MachineTemplate } from "../machines/pool.ts";
import { resolveEgress } from "./egress.ts";
import type { GrantedLimits } from "./spec.ts";

/** Template of a machine that reaches only the node's NATS servers. Its agent is told whether it may. */
export function plainTemplate(limits: GrantedLimits["machine"], plan: RelayPlan): MachineTemplate {
  return {
    limits,
    network: "nats",
    ...(plan.hosts.length === 0 ? {} : { hosts: plan.hosts }),
    ...(plan.loopbackAddresses.length === 0 ? {} : { loopbackAddresses: plan.loopbackAddresses }),
  };
}

/**
 * Template for a workload. The names of its allow-list are resolved now.
 *
 * @throws NexError `egress_refused`
 */
export async function templateOf(granted: GrantedLimits, plan: RelayPlan): Promise<MachineTemplate> {
  const plain = plainTemplate(granted.machine, plan);
  if (granted.network !== "egress") return plain;
  const { egress, hosts } = await resolveEgress(granted.egressAllow);
  return { ...plain, network: "egress", egress, hosts: [...(plain.hosts ?? []), ...hosts] };
}
