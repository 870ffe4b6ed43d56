/** What is written down of each machine, so that whoever comes after a crash can end it. */
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type MachineRecord, sandboxKinds } from "@nexengine/machines";
import { z } from "zod";

const suffix = ".json";
const recordSchema = z.object({
  driver: z.enum([...sandboxKinds, "mock"]),
  id: z.string().regex(/^[a-z0-9]{1,32}$/),
  directory: z.string(),
  facts: z.record(z.string(), z.union([z.string(), z.number()])),
});

export class MachineRecords {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Writes a record down, whole or not at all. */
  async write(record: MachineRecord): Promise<void> {
    const path = this.#pathOf(record.id);
    await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async remove(id: string): Promise<void> {
    await rm(this.#pathOf(id), { force: true });
  }

  /** All records; one that can't be read is of nobody's machine and goes. */
  async list(): Promise<MachineRecord[]> {
    const records: MachineRecord[] = [];
    for (const name of await readdir(this.path).catch(() => [])) {
      const path = join(this.path, name);
      const record = name.endsWith(suffix) ? await readRecord(path) : undefined;
      if (record === undefined) await rm(path, { force: true });
      else records.push(record);
    }
    return records;
  }

  #pathOf(id: string): string {
    return join(this.path, `${id}${suffix}`);
  }
}

async function readRecord(path: string): Promise<MachineRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
}
