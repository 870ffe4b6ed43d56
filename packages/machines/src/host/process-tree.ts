import { contains } from "./machine-directory.ts";
import { type ProcessEntry, type ProcessIdentity, readProcessTable } from "./process-table.ts";

/** Finds all processes that belong to one machine, also those that did what they could to get away from it. */
export interface ProcessTree {
  /** Those that run now. */
  members(table?: ReadonlyMap<number, ProcessEntry>): ProcessTreeMember[];
}

/** A process of a machine. */
export interface ProcessTreeMember extends ProcessEntry {
  /** It descends from the machine's first process, so that everything in its group does too. */
  readonly related: boolean;
}

/**
 * The processes that come from one first process which leads a session of its own: those of its session and group,
 * their descendants, those that were seen as such before, and those whose program or working directory lies in the
 * machine's directory.
 */
export class SessionProcessTree implements ProcessTree {
  readonly #first: ProcessIdentity;
  readonly #realDirectory: string;
  /** Start times of relatives by pid: they stay relatives when their parents have gone. */
  #seen: Map<number, number>;
  /** While anything is left of the session, the kernel gives its number to no other process. */
  #sessionLives = true;

  constructor(first: ProcessIdentity, realDirectory: string) {
    this.#first = first;
    this.#realDirectory = realDirectory;
    this.#seen = new Map([[first.pid, first.startTicks]]);
  }

  members(table: ReadonlyMap<number, ProcessEntry> = readProcessTable()): ProcessTreeMember[] {
    const related = this.#relatives(table);
    const strangers = [...table.values()].filter(
      (entry) => !related.has(entry.pid) && entry.startTicks >= this.#first.startTicks,
    );
    return [
      ...living(related.values()).map((entry) => ({ ...entry, related: true })),
      ...residents(table, strangers, this.#realDirectory),
    ];
  }

  #relatives(table: ReadonlyMap<number, ProcessEntry>): Map<number, ProcessEntry> {
    const ofSession = (entry: ProcessEntry): boolean =>
      entry.sessionId === this.#first.pid || entry.groupId === this.#first.pid;
    const roots = [...table.values()].filter(
      (entry) =>
        this.#seen.get(entry.pid) === entry.startTicks ||
        (this.#sessionLives && ofSession(entry) && entry.startTicks >= this.#first.startTicks),
    );
    this.#sessionLives = this.#sessionLives && roots.some(ofSession);
    const related = withDescendants(table, roots);
    this.#seen = new Map([...related.values()].map((entry) => [entry.pid, entry.startTicks]));
    return related;
  }
}

/** The processes whose program or working directory lies in a directory, and their descendants. */
export class ResidentProcessTree implements ProcessTree {
  readonly #realDirectory: string;

  constructor(realDirectory: string) {
    this.#realDirectory = realDirectory;
  }

  members(table: ReadonlyMap<number, ProcessEntry> = readProcessTable()): ProcessTreeMember[] {
    return residents(table, [...table.values()], this.#realDirectory);
  }
}

function residents(
  table: ReadonlyMap<number, ProcessEntry>,
  candidates: ProcessEntry[],
  realDirectory: string,
): ProcessTreeMember[] {
  const untouchable = ancestorsOfSelf(table);
  const roots = living(candidates).filter(
    (entry) => !untouchable.has(entry.pid) && livesIn(entry, realDirectory),
  );
  const found = new Set(candidates.map((entry) => entry.pid));
  return living(withDescendants(table, roots).values())
    .filter((entry) => found.has(entry.pid) && !untouchable.has(entry.pid))
    .map((entry) => ({ ...entry, related: false }));
}

function livesIn(entry: ProcessEntry, realDirectory: string): boolean {
  const removed = `${realDirectory} (deleted)`;
  return entry.places().some((path) => path === removed || contains(realDirectory, path));
}

function withDescendants(
  table: ReadonlyMap<number, ProcessEntry>,
  roots: readonly ProcessEntry[],
): Map<number, ProcessEntry> {
  const children = Map.groupBy(table.values(), (entry) => entry.parentPid);
  const found = new Map<number, ProcessEntry>();
  const queue = [...roots];
  for (let entry = queue.pop(); entry; entry = queue.pop()) {
    if (found.has(entry.pid)) continue;
    found.set(entry.pid, entry);
    queue.push(...(children.get(entry.pid) ?? []));
  }
  return found;
}

/** This process and those above it: no machine, whatever its directory, may cost the host these. */
function ancestorsOfSelf(table: ReadonlyMap<number, ProcessEntry>): Set<number> {
  const found = new Set([1]);
  for (let pid = process.pid; pid > 0 && !found.has(pid); pid = table.get(pid)?.parentPid ?? 0)
    found.add(pid);
  return found;
}

function living(entries: Iterable<ProcessEntry>): ProcessEntry[] {
  return [...entries].filter((entry) => !entry.zombie);
}
