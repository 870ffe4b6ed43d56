/** Recovers a microVM from its record. */
import { existsSync } from "node:fs";
import type { MachineRecord } from "../driver.ts";
import { readExitStatus } from "../host/exit-status.ts";
import { FifoConsole } from "../host/fifo-console.ts";
import { ownableDirectory } from "../host/machine-directory.ts";
import { cleanUpOrphans } from "../host/orphans.ts";
import { isMachineId } from "../spec.ts";
import { latestEpoch } from "./attachment.ts";
import { parseFacts } from "./facts.ts";
import { layoutOf } from "./layout.ts";
import { MicroVm, type Monitor } from "./machine.ts";

/**
 * Recovers the machine of a record, or cleans up after it.
 *
 * @throws MachineError `destroy_failed` if cleanup fails.
 */
export async function recoverMicroVm(
  monitor: Monitor,
  { id, directory, facts }: MachineRecord,
): Promise<MicroVm | undefined> {
  if (!isMachineId(id)) return undefined;
  const known = parseFacts(facts);
  const owned = await ownableDirectory(directory);
  if (owned !== undefined) {
    const { controlOut } = layoutOf(owned);
    if (known !== undefined && readExitStatus(known.identity) === undefined && existsSync(controlOut)) {
      const epoch = await latestEpoch(owned);
      monitor.adopt?.(id);
      const { egressAddress } = known;
      // A failed filter update must not lose the machine.
      if (egressAddress !== undefined) await monitor.egress.list(id, egressAddress).catch(() => undefined);
      return new MicroVm(monitor, { id, directory: owned }, known, new FifoConsole(controlOut), epoch);
    }
    await cleanUpOrphans(owned);
  }
  await monitor.release(id, known);
  return undefined;
}
