/** Cleans up what a dead node has left in the state directory that this one has now. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { cleanUpOrphans, type Driver, type MachineRecord } from "@nexengine/machines";
import { errorText } from "@nexengine/protocol/errors";
import type { Logger } from "pino";
import type { StoredMachine } from "../state/machine-records.ts";
import type { StateDirectory } from "../state/state-directory.ts";

/**
 * Ends every machine that runs no workload to keep, and what runs in machine directories that no record names. What
 * can't be ended is told, and keeps its record for the next start.
 *
 * @param driverOf The driver that ends machines of a kind.
 * @param isKept Whether the machines of a workload are left running.
 * @returns the machines that were left running, or that may have been.
 */
export async function cleanUpAfterPreviousNode(
  directory: StateDirectory,
  driverOf: (kind: string) => Driver | undefined,
  log: Logger,
  isKept: (workloadId: string) => boolean = () => false,
): Promise<StoredMachine[]> {
  const records = await directory.records.list();
  const kept: StoredMachine[] = [];
  let endedCount = 0;
  const ended = records.map(async (record) => {
    if (record.workload_id !== undefined && isKept(record.workload_id)) {
      kept.push(record);
      return;
    }
    try {
      await endMachine(record, driverOf(record.driver));
      await directory.records.remove(record.id);
      endedCount++;
    } catch (error) {
      log.error({ machine: record.id, reason: errorText(error) }, "a machine of the previous node is left");
    }
  });
  await Promise.all(ended);
  const named = new Set(records.map(({ id }) => id));
  for (const name of await readdir(directory.machines)) {
    if (named.has(name)) continue;
    try {
      await cleanUpOrphans(join(directory.machines, name));
    } catch (error) {
      log.error({ machine: name, reason: errorText(error) }, "processes of the previous node are left");
    }
  }
  if (endedCount > 0) log.warn({ machines: endedCount }, "ended the machines of the previous node");
  return kept;
}

/** Ends a machine of a previous node, running or not. @throws MachineError `destroy_failed` */
export async function endMachine(record: MachineRecord, driver: Driver | undefined): Promise<void> {
  if (driver?.recover === undefined) return await cleanUpOrphans(record.directory);
  const machine = await driver.recover(record);
  if (machine === undefined) await cleanUpOrphans(record.directory);
  else await machine.destroy();
}
