import { isIPv4 } from "node:net";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { furtherLoopbackAddresses } from "../spec-network.ts";
import { hostNetworks } from "../special-networks.ts";
import { demandEgress, refuseNetwork } from "./demand.ts";
import type { Egress } from "./egress.ts";
import { batch, machineEndCommands } from "./link.ts";
import { machineRules } from "./machine-rules.ts";
import { ForeignNetwork, type NetworkTool } from "./tools.ts";
import { findUnmetLoopbackRequirement } from "./unmet-requirements.ts";

/** Does an order want more of its network than the runtime makes? */
export function wantsWires(spec: MachineSpec): boolean {
  return spec.network === "egress" || furtherLoopbackAddresses(spec.loopbackAddresses).length > 0;
}

/**
 * Refuses the network of an order that this host can't give, before anything is made.
 *
 * @throws MachineError `network_not_offered`, or `boot_failed` where its device is there already.
 */
export async function demandNetwork(spec: MachineSpec, egress: Egress): Promise<void> {
  if (furtherLoopbackAddresses(spec.loopbackAddresses).length > 0) {
    const unmet = await findUnmetLoopbackRequirement();
    if (unmet) refuseNetwork(spec, "its loopback addresses can't be set", unmet);
  }
  await demandEgress(spec, egress);
}

/**
 * Sets up the network of a machine whose program has not begun: first its rules, then its devices and addresses.
 *
 * @param pid Its first process, as the host numbers it.
 * @returns its own address, if it has egress.
 * @throws MachineError `boot_failed`
 */
export async function attachNetwork(
  spec: MachineSpec,
  pid: number,
  egress: Egress,
): Promise<string | undefined> {
  const network = await ForeignNetwork.of(pid);
  if (network === undefined) throw bootFailure(spec.id, "its first process has no network of its own");
  const inside = async (what: string, tool: NetworkTool, args: string[], input: string): Promise<void> => {
    const { failure } = await network.run(tool, args, input);
    if (failure !== undefined)
      throw bootFailure(spec.id, `its ${what} can't be set: ${tool} says "${failure}"`);
  };
  const loopback = loopbackCommands(spec);
  if (spec.network !== "egress") {
    await inside("loopback addresses", "ip", ["-batch", "-"], batch(loopback));
    return undefined;
  }
  const link = await egress.connect(spec.id, pid);
  const setUp = async (): Promise<void> => {
    await inside("rules", "nft", ["-f", "-"], machineRules(link.address, spec.egress ?? [], hostNetworks()));
    await inside("addresses", "ip", ["-batch", "-"], batch([...loopback, ...machineEndCommands(link)]));
  };
  await Promise.all([egress.list(spec.id, link.address), setUp()]);
  return link.address;
}

/** For `ip -batch`; the addresses have been checked. */
function loopbackCommands({ loopbackAddresses }: MachineSpec): string[] {
  return furtherLoopbackAddresses(loopbackAddresses).map((address) =>
    isIPv4(address) ? `address replace ${address}/32 dev lo` : `address replace ${address}/128 dev lo nodad`,
  );
}
