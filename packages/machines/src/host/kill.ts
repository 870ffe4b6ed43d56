import {
  isAlive,
  type ProcessEntry,
  type ProcessIdentity,
  readProcess,
  SharedProcessTable,
} from "./process-table.ts";
import type { ProcessTree, ProcessTreeMember } from "./process-tree.ts";
import { holdsWithin } from "./wait.ts";

/** How often new members are looked for before those already stopped are killed. */
const freezeRoundsMax = 16;
/** How long one round waits for its dead; a process in an uninterruptible call may take longer. */
const roundMs = 500;

/**
 * Kills all processes of a family, in rounds, until none is left. Each round stops them first, so that they can't
 * fork while the others are looked for. Most families have ended by then: that is seen in the table that all share.
 *
 * @returns those that are left after that time.
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

/** Stops every member, and those that came to be meanwhile. */
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

/** Whole groups at once where the group is the family's: no fork in it can slip through. Then each by itself. */
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

/** Sends a signal to exactly this process; nothing happens when it is gone and its number is another's. */
export function signalProcess(identity: ProcessIdentity, name: NodeJS.Signals): void {
  if (readIdentical(identity)) send(identity.pid, name);
}

/** A process that can't be looked at now gets no signal: its number may be another's. The caller tries again. */
function readIdentical(identity: ProcessIdentity): ProcessEntry | undefined {
  try {
    const entry = readProcess(identity.pid);
    return entry?.startTicks === identity.startTicks ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** A process that has gone, or that we may not touch, shows in the next look at the table. */
function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {}
}

function identityKey(identity: ProcessIdentity): string {
  return `${identity.pid}:${identity.startTicks}`;
}
