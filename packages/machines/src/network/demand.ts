/** Refuses the network of a spec before a boot if this host can't provide it. */
import { isIPv4 } from "node:net";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import type { Egress } from "./egress.ts";

/**
 * Refuses egress that this host can't provide, before anything is created.
 *
 * @throws MachineError `network_not_offered`, or `boot_failed` if the network device already exists.
 */
export async function demandEgress(spec: MachineSpec, egress: Egress): Promise<void> {
  if (spec.network !== "egress") return;
  const unmet = await egress.unmetRequirement();
  if (unmet) refuseNetwork(spec, 'this host does not offer the network "egress"', unmet);
  const uncarried = spec.egress?.find(({ address }) => !isIPv4(address));
  if (uncarried !== undefined) {
    const reason = `the egress target "${uncarried.address}" is an IPv6 address, but egress supports only IPv4`;
    refuseNetwork(spec, "its network is not offered", { reason, advice: "List an IPv4 address of it" });
  }
  egress.demandFree(spec.id);
}

/** @throws MachineError `network_not_offered` */
export function refuseNetwork({ id }: Pick<MachineSpec, "id">, what: string, unmet: UnmetRequirement): never {
  throw bootFailure(id, `${what}: ${unmet.reason}. ${unmet.advice}`, { code: "network_not_offered" });
}
