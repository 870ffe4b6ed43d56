import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MachineError } from "../errors.ts";
import { idsPerMachine } from "./ids.ts";
import { isAlive, readProcess } from "./process-table.ts";

const hostIdMax = 2 ** 32 - 2;
const triesMax = 1_000;

/** Who took a range. */
interface Claim {
  machineId: string;
  /** Where the machine's runtime keeps what it knows of it, for as long as there is one. */
  root: string;
  pid: number;
  startTicks: number;
}

/** Gives each machine a range of user and group ids of its own, noted in files that outlive a crash. */
export class IdRanges {
  readonly #directory: string;
  readonly #firstId: number;
  readonly #root: string;

  /**
   * @param directory Where the notes are; nodes that share a host's ids share it.
   * @param root Where the runtime of this node keeps what it knows of each machine.
   */
  constructor(directory: string, firstId: number, root: string) {
    this.#directory = directory;
    this.#firstId = firstId;
    this.#root = root;
  }

  /** The first id on the host of a range. */
  hostIdFirst(range: number): number {
    return this.#firstId + range * idsPerMachine;
  }

  /**
   * Takes the lowest range that is free.
   *
   * @throws MachineError `boot_failed` when there is none.
   */
  async take(machineId: string): Promise<number> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const taken = new Set((await readdir(this.#directory)).map(Number));
    const self = readProcess(process.pid);
    const root = this.#root;
    const claim: Claim = { machineId, root, pid: process.pid, startTicks: self?.startTicks ?? 0 };
    let range = 0;
    for (let tries = 0; tries < triesMax; tries++, range++) {
      while (taken.has(range)) range++;
      if (this.hostIdFirst(range) + idsPerMachine > hostIdMax) break;
      if (await this.#claim(range, claim)) return range;
    }
    throw new MachineError("boot_failed", `Cannot boot machine "${machineId}": no user ids are free`);
  }

  /** Gives a range back, if it is this machine's. */
  async release(range: number, machineId: string): Promise<void> {
    const claim = await this.#read(range);
    if (claim?.machineId === machineId) await rm(this.#path(range), { force: true });
  }

  /** Gives back what processes took that have died since, for machines that are not there. */
  async releaseAbandoned(): Promise<void> {
    for (const name of await readdir(this.#directory).catch(() => [])) {
      const range = Number(name);
      const claim = await this.#read(range);
      if (claim && !isAlive(claim) && !existsSync(join(claim.root, claim.machineId)))
        await this.release(range, claim.machineId);
    }
  }

  async #claim(range: number, claim: Claim): Promise<boolean> {
    try {
      await writeFile(this.#path(range), JSON.stringify(claim), { flag: "wx", mode: 0o600 });
      return true;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
      throw error;
    }
  }

  /** `undefined` also while it is being written. */
  async #read(range: number): Promise<Claim | undefined> {
    try {
      return JSON.parse(await readFile(this.#path(range), "utf8")) as Claim;
    } catch {
      return undefined;
    }
  }

  #path(range: number): string {
    return join(this.#directory, String(range));
  }
}
