/** Finds all processes of one machine, including processes that try to escape. */
import { contains } from "./machine-directory.ts";
import { type ProcessEntry, type ProcessIdentity, readProcessTable } from "./process-table.ts";

/** Finds all processes of one machine, including processes that try to escape. */
export interface ProcessTree {
  /** Returns the processes that are running. */
  members(table?: ReadonlyMap<number, ProcessEntry>): ProcessTreeMember[];
}

/** A process of a machine. */
export interface ProcessTreeMember extends ProcessEntry {
  /** The process descends from the machine's first process, so its process group belongs to the machine too. */
  readonly related: boolean;
}

/**
 * Finds the processes of a session leader: its session, its process group, their descendants, and descendants seen
 * earlier. Also finds processes whose executable or working directory is in the machine's directory.
 */
export class SessionProcessTree implements ProcessTree {
  readonly #first: ProcessIdentity;
  readonly #realDirectory: string;
  /** Start times of related processes by pid. Processes stay related after their parents exit. */
  #seen: Map<number, number>;
  /** The kernel does not reuse the session id while a process of the session exists. */
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

/** Finds the processes whose executable or working directory is in a directory, and their descendants. */
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

/** This process and its ancestors, which must never be killed. */
function ancestorsOfSelf(table: ReadonlyMap<number, ProcessEntry>): Set<number> {
  const found = new Set([1]);
  for (let pid = process.pid; pid > 0 && !found.has(pid); pid = table.get(pid)?.parentPid ?? 0)
    found.add(pid);
  return found;
}

function living(entries: Iterable<ProcessEntry>): ProcessEntry[] {
  return [...entries].filter((entry) => !entry.zombie);
}
