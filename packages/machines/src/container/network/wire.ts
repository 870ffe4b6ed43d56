import { isIPv4 } from "node:net";
import type { MachineSpec } from "../../driver.ts";
import { furtherLoopbackAddresses } from "../../spec-network.ts";
import { bootFailure } from "../boot-failure.ts";
import { ForeignNetwork } from "./tools.ts";

/** Does an order want more of its network than the runtime makes? */
export function wantsWires(spec: MachineSpec): boolean {
  return furtherLoopbackAddresses(spec.loopbackAddresses).length > 0;
}

/**
 * Sets up the network of a machine whose program has not been started yet.
 *
 * @param pid Its first process, as the host numbers it.
 * @throws MachineError `boot_failed`
 */
export async function wire(spec: MachineSpec, pid: number): Promise<void> {
  const network = await ForeignNetwork.of(pid);
  if (network === undefined) throw bootFailure(spec.id, "its first process has no network of its own");
  const { failure } = await network.run("ip", ["-batch", "-"], loopbackCommands(spec));
  if (failure !== undefined) throw bootFailure(spec.id, `its loopback addresses can't be set. ${failure}`);
}

/** For `ip -batch`; the addresses have been checked. */
function loopbackCommands({ loopbackAddresses }: MachineSpec): string {
  const commands = furtherLoopbackAddresses(loopbackAddresses).map((address) =>
    isIPv4(address) ? `address replace ${address}/32 dev lo` : `address replace ${address}/128 dev lo nodad`,
  );
  return `${commands.join("\n")}\n`;
}
