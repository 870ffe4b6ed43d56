import { MachineError } from "../errors.ts";
import { type Cgroup, killCgroup } from "../host/cgroup.ts";
import { removeTree } from "../host/remove-tree.ts";
import type { ContainerHost } from "./host.ts";

/** What a machine holds on its host, wherever that is known from. */
export interface CleanupTarget {
  id: string;
  /** Absent where there is none that a machine can own. */
  directory?: string | undefined;
  cgroup: Cgroup;
  cgroupParent?: string;
  range?: number | undefined;
  /** It may be connected with the host's network. */
  egress: boolean;
}

/**
 * Removes everything that a machine held: what runs, the runtime's state, control groups, directory, user ids, network device. Takes
 * every step even when one fails, and can be repeated.
 *
 * @throws MachineError `destroy_failed` when something is left.
 */
export async function cleanUp(host: ContainerHost, remains: CleanupTarget): Promise<void> {
  const { id, directory, cgroup, cgroupParent, range, egress } = remains;
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
  throw new MachineError("destroy_failed", `Cannot destroy machine "${id}": left are ${left.join("; ")}`);
}
