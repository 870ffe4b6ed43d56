/** Recovers a container from its record. */
import type { MachineRecord } from "../driver.ts";
import { readExitStatus } from "../host/exit-status.ts";
import { FifoConsole } from "../host/fifo-console.ts";
import { ownableDirectory } from "../host/machine-directory.ts";
import { isMachineId } from "../spec.ts";
import { latestEpoch } from "./attachment.ts";
import { cleanUp } from "./cleanup.ts";
import { parseFacts } from "./facts.ts";
import type { ContainerHost } from "./host.ts";
import { layoutOf } from "./layout.ts";
import { ContainerMachine } from "./machine.ts";

/** Recovers the machine of a record, or cleans up after it. */
export async function recoverContainer(
  host: ContainerHost,
  { id, directory, facts }: MachineRecord,
): Promise<ContainerMachine | undefined> {
  if (!isMachineId(id)) return undefined;
  const known = parseFacts(facts);
  const { identity, range, cgroupParent = host.settings.cgroupParent, egressAddress } = known;
  const cgroup = host.cgroup(id, cgroupParent);
  const owned = await ownableDirectory(directory);
  host.enter(id);
  if (identity && range !== undefined && owned !== undefined && !readExitStatus(identity)) {
    const layout = layoutOf(owned);
    const epoch = await latestEpoch(layout.channels);
    const console = new FifoConsole(layout.console);
    const machine = { id, directory: owned };
    // A failed filter update must not lose the machine.
    if (egressAddress !== undefined) await host.egress.list(id, egressAddress).catch(() => undefined);
    return new ContainerMachine(
      host,
      machine,
      { identity, range, cgroupParent, egressAddress },
      console,
      epoch,
    );
  }
  if (identity === undefined) await host.runtime.killCommands(id);
  const egress = identity === undefined || egressAddress !== undefined;
  await cleanUp(host, { id, directory: owned, cgroup, cgroupParent, range, egress });
  if (range === undefined) await host.ranges.releaseAbandoned();
  return undefined;
}
