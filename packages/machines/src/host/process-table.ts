/**
 * The processes of this host as `/proc` shows them at one moment. Read synchronously: these files are made by the
 * kernel on the spot, and the table is closer to one moment than an asynchronous walk would be.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

/** A process that can't be taken for another one that got the same number later. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in clock ticks since the host booted. */
  readonly startTicks: number;
}

/** One process. */
export interface ProcessEntry extends ProcessIdentity {
  readonly parentPid: number;
  readonly groupId: number;
  readonly sessionId: number;
  /** It has ended and only its status is left. */
  readonly zombie: boolean;
  /** What it and its reaped children used. */
  readonly cpuTicks: number;
  /** The real paths of its program and its working directory, as far as we may see them. Looked up once. */
  readonly places: () => readonly string[];
}

/** Can this host show its processes? */
export const hasProcessTable: boolean = process.platform === "linux" && existsSync("/proc/self/stat");

/** Errors by which the kernel says that there is no such process. Every other one says nothing about it. */
const goneCodes: ReadonlySet<unknown> = new Set(["ENOENT", "ESRCH"]);

/**
 * Reads the state of one process, or `undefined` when there is none.
 *
 * @throws Error when that can't be known now, such as with no descriptor left (`EMFILE`).
 */
export function readStat(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    if (goneCodes.has((error as NodeJS.ErrnoException).code)) return undefined;
    throw error;
  }
}

/**
 * Reads one process, or `undefined` when there is none.
 *
 * @throws Error when that can't be known now.
 */
export function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readStat(pid);
  return stat === undefined ? undefined : parseStat(pid, stat);
}

/** Reads all processes. @throws Error when they can't be known now. */
export function readProcessTable(): Map<number, ProcessEntry> {
  const table = new Map<number, ProcessEntry>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const entry = Number.isInteger(pid) ? readProcess(pid) : undefined;
    if (entry) table.set(pid, entry);
  }
  return table;
}

/** Does exactly this process still run? A process that can't be looked at now is not taken for ended. */
export function isAlive(identity: ProcessIdentity): boolean {
  try {
    const entry = readProcess(identity.pid);
    return entry?.startTicks === identity.startTicks && !entry.zombie;
  } catch {
    return true;
  }
}

/** One table for all who ask in the same turn: a node asks about hundreds of machines at once, and each read is of all. */
export class SharedProcessTable {
  #next: Promise<ReadonlyMap<number, ProcessEntry>> | undefined;
  #current: ReadonlyMap<number, ProcessEntry> | undefined;

  /** Reads the table after this turn. */
  read(): Promise<ReadonlyMap<number, ProcessEntry>> {
    this.#next ??= setImmediate().then(() => {
      this.#next = undefined;
      return readProcessTable();
    });
    return this.#next;
  }

  /** The table as it was at some moment of this turn. */
  ofThisTurn(): ReadonlyMap<number, ProcessEntry> {
    if (this.#current === undefined) {
      this.#current = readProcessTable();
      void setImmediate().then(() => {
        this.#current = undefined;
      });
    }
    return this.#current;
  }
}

function placesOf(pid: number): () => readonly string[] {
  let places: string[] | undefined;
  return () => {
    places ??= ["exe", "cwd"].flatMap((link) => {
      try {
        return [readlinkSync(`/proc/${pid}/${link}`)];
      } catch {
        return [];
      }
    });
    return places;
  };
}

/** The fields of `/proc/<pid>/stat`; the name before them may hold spaces and brackets of its own. */
function parseStat(pid: number, stat: string): ProcessEntry {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid,
    zombie: fields[0] === "Z" || fields[0] === "X",
    parentPid: field(4),
    groupId: field(5),
    sessionId: field(6),
    cpuTicks: field(14) + field(15) + field(16) + field(17),
    startTicks: field(22),
    places: placesOf(pid),
  };
}
