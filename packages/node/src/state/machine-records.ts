/** Records of machines, so that the next node can end them after a crash. */
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type MachineRecord, sandboxKinds } from "@nexengine/machines";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { z } from "zod";

const suffix = ".json";
const recordSchema = z.object({
  driver: z.enum(sandboxKinds),
  id: z.string().regex(/^[a-z0-9]{1,32}$/),
  directory: z.string(),
  facts: z.record(z.string(), z.union([z.string(), z.number()])),
});

export class MachineRecords {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Writes a record atomically. */
  async write(record: MachineRecord): Promise<void> {
    const path = this.#pathOf(record.id);
    await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async remove(id: string): Promise<void> {
    await rm(this.#pathOf(id), { force: true });
  }

  /**
   * Lists all records. An invalid or incomplete one belongs to no machine and is removed.
   *
   * @throws NexError `state_unusable` when they are unreadable: they may name machines that run.
   */
  async list(): Promise<MachineRecord[]> {
    const records: MachineRecord[] = [];
    try {
      for (const name of await readdir(this.path)) {
        const path = join(this.path, name);
        const record = name.endsWith(suffix) ? parseRecord(await readText(path)) : undefined;
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

/** Reads a file; one that was removed meanwhile counts as empty. */
async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}

function parseRecord(text: string): MachineRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
