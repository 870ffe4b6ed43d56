/**
 * Process table of this host, read from `/proc`. Reads are synchronous: procfs files don't block on a disk, and a
 * synchronous scan is closer to a consistent snapshot.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

/** Identifies a process even if its pid is reused later. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since the host booted. */
  readonly startTicks: number;
}

/** Start time for a process that has already exited. No real process has a negative start time. */
export const goneTicks = -1;

/** One process. */
export interface ProcessEntry extends ProcessIdentity {
  readonly parentPid: number;
  readonly groupId: number;
  readonly sessionId: number;
  /** The process has exited but has not been reaped. */
  readonly zombie: boolean;
  /** CPU time of the process and its reaped children, in clock ticks. */
  readonly cpuTicks: number;
  /** Real paths of the executable and the working directory, as far as readable. Read once. */
  readonly places: () => readonly string[];
}

/** Whether this host has a readable `/proc`. */
export const hasProcessTable: boolean = process.platform === "linux" && existsSync("/proc/self/stat");

/** Error codes that mean the process does not exist. Other errors say nothing about the process. */
const goneCodes: ReadonlySet<unknown> = new Set(["ENOENT", "ESRCH"]);

/**
 * Reads `/proc/<pid>/stat`; `undefined` if the process does not exist.
 *
 * @throws Error if the state can't be read, for example without free descriptors (`EMFILE`).
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
 * Reads one process; `undefined` if it does not exist.
 *
 * @throws Error if its state can't be read.
 */
export function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readStat(pid);
  return stat === undefined ? undefined : parseStat(pid, stat);
}

/** Reads all processes. @throws Error if the table can't be read. */
export function readProcessTable(): Map<number, ProcessEntry> {
  const table = new Map<number, ProcessEntry>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const entry = Number.isInteger(pid) ? readProcess(pid) : undefined;
    if (entry) table.set(pid, entry);
  }
  return table;
}

/** Reports whether exactly this process is running. A process whose state can't be read counts as running. */
export function isAlive(identity: ProcessIdentity): boolean {
  try {
    const entry = readProcess(identity.pid);
    return entry?.startTicks === identity.startTicks && !entry.zombie;
  } catch {
    return true;
  }
}

/**
 * Shares one process table among all callers in the same turn of the event loop. A node asks about hundreds of
 * machines at once, and each read scans all processes.
 */
export class SharedProcessTable {
  #next: Promise<ReadonlyMap<number, ProcessEntry>> | undefined;
  #current: ReadonlyMap<number, ProcessEntry> | undefined;

  /** Returns a table read after this turn. */
  read(): Promise<ReadonlyMap<number, ProcessEntry>> {
    this.#next ??= setImmediate().then(() => {
      this.#next = undefined;
      return readProcessTable();
    });
    return this.#next;
  }

  /** Returns a table read during this turn. */
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

/** Parses `/proc/<pid>/stat`. The process name may itself contain spaces and brackets. */
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

/** Returns the id of the current host boot. Pids and start times are only comparable within one boot. */
export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
