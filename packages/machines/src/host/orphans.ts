import { existsSync } from "node:fs";
import { MachineError } from "../errors.ts";
import { killProcessTree } from "./kill.ts";
import { ownableDirectory } from "./machine-directory.ts";
import { hasProcessTable } from "./process-table.ts";
import { ResidentProcessTree } from "./process-tree.ts";
import { removeTree } from "./remove-tree.ts";

const killTimeoutMs = 5_000;

/**
 * Ends what a machine left when its node died before it: kills the processes whose program or working directory lies
 * in the machine's directory, and removes the directory. Only for the directory of a machine that nobody owns.
 *
 * @throws MachineError `destroy_failed` when something is left, or the directory holds what this process itself needs.
 */
export async function cleanUpOrphans(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  const real = await ownableDirectory(directory);
  if (real === undefined) {
    throw new MachineError("destroy_failed", `Cannot end what runs in "${directory}": no machine can own it`);
  }
  const left = hasProcessTable ? await killProcessTree(new ResidentProcessTree(real), killTimeoutMs) : [];
  if (left.length > 0) {
    const pids = left.map((identity) => identity.pid).join(", ");
    throw new MachineError(
      "destroy_failed",
      `Cannot end what runs in "${directory}": processes ${pids} are left`,
    );
  }
  await removeTree(real);
}
