/** Removes everything that a container held on its host. */
import { MachineError } from "../errors.ts";
import { type Cgroup, killCgroup } from "../host/cgroup.ts";
import { removeTree } from "../host/remove-tree.ts";
import type { ContainerHost } from "./host.ts";

/** Resources that a machine holds on its host. */
export interface CleanupTarget {
  id: string;
  /** Absent if the machine has no directory that it can own. */
  directory?: string | undefined;
  cgroup: Cgroup;
  cgroupParent?: string;
  range?: number | undefined;
  /** Whether the machine may be attached to the host's network. */
  egress: boolean;
}

/**
 * Removes everything a machine held: processes, runtime state, cgroups, directory, user ids and network device. Runs
 * every step even if one fails. Can be repeated.
 *
 * @throws MachineError `destroy_failed` if anything is left.
 */
export async function cleanUp(host: ContainerHost, target: CleanupTarget): Promise<void> {
  const { id, directory, cgroup, cgroupParent, range, egress } = target;
  const left: string[] = [];
  const note = (error: unknown): unknown => left.push(error instanceof Error ? error.message : String(error));
  const pids = await killCgroup(cgroup, host.settings.killTimeoutMs);
  if (pids.length > 0) left.push(`processes ${pids.join(", ")}`);
  const failure = await host.runtime.remove(id);
  if (failure !== undefined) left.push(failure);
  left.push(...(await cgroup.remove()));
  if (egress) await host.egress.release(id).catch(note);
  if (directory !== undefined) await removeTree(directory).catch(note);
  if (left.length === 0) {
    if (range !== undefined) await host.ranges.release(range, id).catch(note);
    await host.leave(id, cgroupParent).catch(note);
  }
  if (left.length === 0) return;
  throw new MachineError(
    "destroy_failed",
    `Cannot destroy machine "${id}": could not remove ${left.join("; ")}`,
  );
}
