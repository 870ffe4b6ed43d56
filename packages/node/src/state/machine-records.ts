/** Records of machines, so that the next node can end them after a crash. */
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type MachineRecord, sandboxKinds } from "@nexengine/machines";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { z } from "zod";
import { readIfThere } from "./files.ts";

const suffix = ".json";
const recordSchema = z.object({
  driver: z.enum(sandboxKinds),
  id: z.string().regex(/^[a-z0-9]{1,32}$/),
  directory: z.string(),
  facts: z.record(z.string(), z.union([z.string(), z.number()])),
  /** Id of the workload that runs in it. */
  workload_id: z.string().max(64).optional(),
});

/** The record of a machine, and the workload that runs in it. */
export type StoredMachine = MachineRecord & { workload_id?: string | undefined };

export class MachineRecords {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Writes a record atomically. */
  async write(record: StoredMachine): Promise<void> {
    const path = this.#pathOf(record.id);
    await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async remove(id: string): Promise<void> {
    await rm(this.#pathOf(id), { force: true });
  }

  /** Reads the records that are valid, and changes nothing. */
  async read(): Promise<StoredMachine[]> {
    const names = (await readdir(this.path)).filter((name) => name.endsWith(suffix));
    return await this.ofMachines(names.map((name) => name.slice(0, -suffix.length)));
  }

  /** The valid records of these machines. */
  async ofMachines(ids: readonly string[]): Promise<StoredMachine[]> {
    const records = await Promise.all(
      ids.map(async (id) => parseRecord((await readIfThere(this.#pathOf(id))) ?? "")),
    );
    return records.filter((record) => record !== undefined);
  }

  /**
   * Lists all records. An invalid or incomplete one belongs to no machine and is removed.
   *
   * @throws NexError `state_unusable` when they are unreadable: they may name machines that run.
   */
  async list(): Promise<StoredMachine[]> {
    const records: StoredMachine[] = [];
    try {
      for (const name of await readdir(this.path)) {
        const path = join(this.path, name);
        const record = name.endsWith(suffix) ? parseRecord((await readIfThere(path)) ?? "") : undefined;
        if (record === undefined) await rm(path, { force: true });
        else records.push(record);
      }
    } catch (cause) {
      throw new NexError("state_unusable", `Cannot read the records of machines: ${errorText(cause)}`, {
        cause,
      });
    }
    return records;
  }

  #pathOf(id: string): string {
    return join(this.path, `${id}${suffix}`);
  }
}

function parseRecord(text: string): StoredMachine | undefined {
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
