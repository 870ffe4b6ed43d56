/** Cleans up after machines of a dead node. */
import { existsSync } from "node:fs";
import { MachineError } from "../errors.ts";
import { killProcessTree } from "./kill.ts";
import { ownableDirectory } from "./machine-directory.ts";
import { hasProcessTable } from "./process-table.ts";
import { ResidentProcessTree } from "./process-tree.ts";
import { removeTree } from "./remove-tree.ts";

const killTimeoutMs = 5_000;

/**
 * Cleans up after a machine whose node died. Kills the processes whose executable or working directory is in the
 * machine's directory, then removes the directory. Use it only for machines without an owner.
 *
 * @throws MachineError `destroy_failed` if anything is left, or if the directory contains something that this process
 *   needs.
 */
export async function cleanUpOrphans(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  const real = await ownableDirectory(directory);
  if (real === undefined) {
    throw new MachineError(
      "destroy_failed",
      `Cannot clean up "${directory}": it is not a directory that a machine can own`,
    );
  }
  const left = hasProcessTable ? await killProcessTree(new ResidentProcessTree(real), killTimeoutMs) : [];
  if (left.length > 0) {
    const pids = left.map((identity) => identity.pid).join(", ");
    throw new MachineError(
      "destroy_failed",
      `Cannot clean up "${directory}": processes ${pids} are still running`,
    );
  }
  await removeTree(real);
}
