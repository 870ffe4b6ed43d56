/** Ranges of user ids that machines of all nodes on this host claim. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MachineError } from "../errors.ts";
import { idsPerMachine } from "./ids.ts";
import { isAlive, readProcess } from "./process-table.ts";

const hostIdMax = 2 ** 32 - 2;
const triesMax = 1_000;

/** The owner of a range. */
interface Claim {
  machineId: string;
  /** Root directory of the runtime's state for the machine. It exists as long as the machine does. */
  root: string;
  pid: number;
  startTicks: number;
}

/** Assigns each machine its own range of user and group ids. Claims are files, so they survive a crash. */
export class IdRanges {
  readonly #directory: string;
  readonly #firstId: number;
  readonly #root: string;

  /**
   * @param directory Directory of the claim files, shared by all nodes that use the same id space.
   * @param root Directory in which this node's runtime keeps the state of each machine.
   */
  constructor(directory: string, firstId: number, root: string) {
    this.#directory = directory;
    this.#firstId = firstId;
    this.#root = root;
  }

  /** Returns the first host id of a range. */
  hostIdFirst(range: number): number {
    return this.#firstId + range * idsPerMachine;
  }

  /**
   * Claims the lowest free range.
   *
   * @throws MachineError `boot_failed` if no range is free.
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
    throw new MachineError("boot_failed", `Cannot boot machine "${machineId}": no range of user ids is free`);
  }

  /** Releases a range if this machine owns it. */
  async release(range: number, machineId: string): Promise<void> {
    const claim = await this.#read(range);
    if (claim?.machineId === machineId) await rm(this.#path(range), { force: true });
  }

  /** Releases ranges claimed by dead processes for machines that don't exist. */
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

  /** Returns `undefined` also while the claim is being written. */
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
