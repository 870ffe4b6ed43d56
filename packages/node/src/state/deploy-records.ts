/**
 * Records of accepted deploys, one file each. A record is on the disk before its deploy is answered, and is removed
 * before its workload is stopped, so a node that restarts runs exactly what was accepted and not stopped.
 */
import { access, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { z } from "zod";
import { type PreparedFile, prepareFile, readIfThere, syncDirectory, unfinishedSuffix } from "./files.ts";

const suffix = ".json";
const reasonLengthMax = 500;
const idForm = /^[a-z0-9]{1,32}$/;

const recordSchema = z.strictObject({
  version: z.literal(1),
  /** Id of the workload. */
  id: z.string().regex(idForm),
  namespace: z.string().max(64),
  /**
   * The request as it was received, in base64. Its secrets stay sealed for this node's xkey, and its token proves who
   * issued it.
   */
  request: z.base64().max(1_048_576),
  /** Time of the admission, in ms since 1970. */
  accepted_ms: z.number().int().min(0),
  artifact: z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/), bytes: z.number().int().min(0) }),
  /** Host ports that were given to the workload, so that it gets them again. */
  published: z
    .array(
      z.strictObject({
        machine_port: z.number().int().min(1).max(65_535),
        host: z.string().max(255),
        host_port: z.number().int().min(1).max(65_535),
      }),
    )
    .max(64),
  /** Number of restarts so far. */
  restarts: z.number().int().min(0),
  /** Names of its paused triggers. */
  paused: z.array(z.string().max(64)).max(64).optional(),
  /** Digest of the configuration's entry that started it. */
  autostart: z.string().max(64).optional(),
});

/** An accepted deploy. */
export type DeployRecord = z.infer<typeof recordSchema>;

/** All records of a directory. */
export interface DeployRecordList {
  /** In the order of their admission. */
  records: DeployRecord[];
  /** Ids of records that can't be read, and why. Nothing is known of these, so their machines are left alone. */
  unreadable: { id: string; reason: string }[];
}

export class DeployRecords {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Writes a record under a temporary name. It counts once it is committed. */
  async prepare(record: DeployRecord): Promise<PreparedFile> {
    return await prepareFile(this.#pathOf(record.id), JSON.stringify(record));
  }

  /** Replaces a record. */
  async update(record: DeployRecord): Promise<void> {
    await (await this.prepare(record)).commit();
  }

  /** Changes a record, if it is there. */
  async change(id: string, changes: Partial<Pick<DeployRecord, "restarts" | "paused">>): Promise<void> {
    const text = await readIfThere(this.#pathOf(id));
    if (text === undefined) return;
    // Synced like the record itself: a file system may lose the content of a file that was renamed before.
    await this.update({ ...recordSchema.parse(JSON.parse(text)), ...changes });
  }

  /** Whether there is a record of this workload. */
  async has(id: string): Promise<boolean> {
    return await access(this.#pathOf(id)).then(
      () => true,
      () => false,
    );
  }

  /** Removes a record. Returns once the disk has that. */
  async remove(id: string): Promise<void> {
    await rm(this.#pathOf(id), { force: true });
    await syncDirectory(this.path);
  }

  /**
   * Reads all records, and removes unfinished ones: they were never answered.
   *
   * @throws NexError `state_unusable` when the directory is unreadable.
   */
  async list(): Promise<DeployRecordList> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.path)) {
      if (name.endsWith(unfinishedSuffix)) await rm(join(this.path, name), { force: true });
    }
    return await this.read();
  }

  /**
   * Reads all records, and changes nothing.
   *
   * @throws NexError `state_unusable` when the directory is unreadable.
   */
  async read(): Promise<DeployRecordList> {
    const found: DeployRecordList = { records: [], unreadable: [] };
    try {
      for (const name of await readdir(this.path)) {
        if (name.endsWith(suffix))
          await readInto(found, join(this.path, name), name.slice(0, -suffix.length));
      }
    } catch (cause) {
      throw new NexError("state_unusable", `Cannot read the records of deploys: ${errorText(cause)}`, {
        cause,
      });
    }
    found.records.sort((one, other) => one.accepted_ms - other.accepted_ms || (one.id < other.id ? -1 : 1));
    return found;
  }

  #pathOf(id: string): string {
    return join(this.path, id + suffix);
  }
}

async function readInto(found: DeployRecordList, path: string, id: string): Promise<void> {
  const parsed = await readIfThere(path).then((text = "") => parseRecord(text), failed);
  if ("reason" in parsed) found.unreadable.push({ id, ...parsed });
  else if (parsed.record.id === id) found.records.push(parsed.record);
  else found.unreadable.push({ id, reason: "its name is not that of its workload" });
}

/** Reads the text of a record. @returns the record, or why it is unreadable */
export function parseRecord(text: string): { record: DeployRecord } | { reason: string } {
  try {
    return { record: recordSchema.parse(JSON.parse(text)) };
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): { reason: string } {
  const reason = error instanceof z.ZodError ? z.prettifyError(error) : errorText(error);
  return { reason: reason.slice(0, reasonLengthMax) };
}
