import { isIPv4 } from "node:net";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import type { Egress } from "./egress.ts";

/**
 * Refuses an order with egress that this host can't give, before anything is made.
 *
 * @throws MachineError `network_not_offered`, or `boot_failed` where its device is there already.
 */
export async function demandEgress(spec: MachineSpec, egress: Egress): Promise<void> {
  if (spec.network !== "egress") return;
  const unmet = await egress.unmetRequirement();
  if (unmet) refuseNetwork(spec, 'the network "egress" is not offered here', unmet);
  const uncarried = spec.egress?.find(({ address }) => !isIPv4(address));
  if (uncarried !== undefined) {
    const reason = `the egress target "${uncarried.address}" is of IPv6, and only IPv4 is carried`;
    refuseNetwork(spec, "its network is not offered", { reason, advice: "List an IPv4 address of it" });
  }
  egress.demandFree(spec.id);
}

/** @throws MachineError `network_not_offered` */
export function refuseNetwork({ id }: Pick<MachineSpec, "id">, what: string, unmet: UnmetRequirement): never {
  throw bootFailure(id, `${what}: ${unmet.reason}. ${unmet.advice}`, { code: "network_not_offered" });
}
