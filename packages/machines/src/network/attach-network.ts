/** Sets up the network of a container after its start. */
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

/** Reports whether a spec needs more network setup than the runtime does. */
export function needsNetworkSetup(spec: MachineSpec): boolean {
  return spec.network === "egress" || furtherLoopbackAddresses(spec.loopbackAddresses).length > 0;
}

/**
 * Refuses a network that this host can't provide, before anything is created.
 *
 * @throws MachineError `network_not_offered`, or `boot_failed` if its network device already exists.
 */
export async function demandNetwork(spec: MachineSpec, egress: Egress): Promise<void> {
  if (furtherLoopbackAddresses(spec.loopbackAddresses).length > 0) {
    const unmet = await findUnmetLoopbackRequirement();
    if (unmet) refuseNetwork(spec, "its loopback addresses can't be set", unmet);
  }
  await demandEgress(spec, egress);
}

/**
 * Sets up the network of a machine before its program starts: first the rules, then devices and addresses.
 *
 * @param pid Pid of the machine's first process on the host.
 * @returns the machine's egress address, if it has one.
 * @throws MachineError `boot_failed`
 */
export async function attachNetwork(
  spec: MachineSpec,
  pid: number,
  egress: Egress,
): Promise<string | undefined> {
  const network = await ForeignNetwork.of(pid);
  if (network === undefined) throw bootFailure(spec.id, "its first process has no network namespace");
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

/** Commands for `ip -batch`. The addresses have been validated. */
function loopbackCommands({ loopbackAddresses }: MachineSpec): string[] {
  return furtherLoopbackAddresses(loopbackAddresses).map((address) =>
    isIPv4(address) ? `address replace ${address}/32 dev lo` : `address replace ${address}/128 dev lo nodad`,
  );
}
