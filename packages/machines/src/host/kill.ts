/** Kills a process tree, including processes that keep forking. */
import {
  isAlive,
  type ProcessEntry,
  type ProcessIdentity,
  readProcess,
  SharedProcessTable,
} from "./process-table.ts";
import type { ProcessTree, ProcessTreeMember } from "./process-tree.ts";
import { holdsWithin } from "./wait.ts";

/** Maximum number of scans for new members before the stopped ones are killed. */
const freezeRoundsMax = 16;
/** Maximum wait for the exits of one round, in ms. A process in an uninterruptible system call can take longer. */
const roundMs = 500;

/**
 * Kills all processes of a process tree, in rounds, until none is left. Each round stops the processes first, so that
 * they can't fork during the scan. Most trees have already exited, which the shared process table shows cheaply.
 *
 * @returns the processes still running after the timeout.
 */
export async function killProcessTree(
  processTree: ProcessTree,
  timeoutMs: number,
  table: SharedProcessTable = new SharedProcessTable(),
): Promise<ProcessIdentity[]> {
  const deadline = performance.now() + timeoutMs;
  if (processTree.members(await table.read()).length === 0) return [];
  for (;;) {
    const members = freeze(processTree);
    if (members.length === 0) return [];
    signal(members, "SIGKILL");
    const leftMs = Math.min(roundMs, Math.max(deadline - performance.now(), 0));
    await holdsWithin(() => !members.some(isAlive), leftMs);
    if (performance.now() >= deadline) return processTree.members();
  }
}

/** Stops every member, and members that were forked meanwhile. */
function freeze(processTree: ProcessTree): ProcessTreeMember[] {
  const frozen = new Set<string>();
  let members = processTree.members();
  for (let round = 0; round < freezeRoundsMax; round++) {
    const fresh = members.filter((member) => !frozen.has(identityKey(member)));
    if (fresh.length === 0) break;
    signal(fresh, "SIGSTOP");
    for (const member of fresh) frozen.add(identityKey(member));
    members = processTree.members();
  }
  return members;
}

/**
 * Signals whole process groups that belong to the tree first, so that no fork in a group escapes. Then signals each
 * process.
 */
function signal(members: readonly ProcessTreeMember[], name: NodeJS.Signals): void {
  const groups = Map.groupBy(
    members.filter((member) => member.related),
    (member) => member.groupId,
  );
  for (const [groupId, inGroup] of groups) {
    if (inGroup.some((member) => readIdentical(member)?.groupId === groupId)) send(-groupId, name);
  }
  for (const member of members) signalProcess(member, name);
}

/** Sends a signal to exactly this process. Does nothing if the process has exited and its pid was reused. */
export function signalProcess(identity: ProcessIdentity, name: NodeJS.Signals): void {
  if (readIdentical(identity)) send(identity.pid, name);
}

/** A process whose state can't be read gets no signal, because its pid may have been reused. The caller retries. */
function readIdentical(identity: ProcessIdentity): ProcessEntry | undefined {
  try {
    const entry = readProcess(identity.pid);
    return entry?.startTicks === identity.startTicks ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** Errors are ignored: the next scan of the process table shows the result. */
function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {}
}

function identityKey(identity: ProcessIdentity): string {
  return `${identity.pid}:${identity.startTicks}`;
}
