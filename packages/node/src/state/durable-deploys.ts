/**
 * Copies of a node's deploy records in key-value buckets, one bucket for each namespace, so that they survive the node's
 * disk. The records in the state directory lead; the copies are read only into a directory that has never had any.
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/nats-core";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { bucketNamePart } from "@nexengine/protocol/subjects";
import type { Logger } from "pino";
import { jetStreamTimeMs } from "../connections/buckets.ts";
import { type DeployRecord, type DeployRecords, parseRecord } from "./deploy-records.ts";
import { prepareFile, readIfThere } from "./files.ts";
import type { StateDirectory } from "./state-directory.ts";

const prefix = "NEX_DEPLOYS_";
const retryFirstMs = 500;
const retryMaxMs = 30_000;
/** Time for removals that wait when the node ends. */
const lastRemovalsMs = 2_000;

/** Options for durable records. */
export interface DurableOptions {
  connection: NatsConnection;
  nodeId: string;
  /** Replicas of a bucket that the node creates. */
  replicas: number;
  log: Logger;
}

/** Names a record. */
export type RecordName = Pick<DeployRecord, "id" | "namespace">;

export class DurableDeploys implements AsyncDisposable {
  readonly #options: DurableOptions;
  readonly #kvm: Kvm;
  readonly #buckets = new Map<string, Promise<KV>>();
  #manager: Promise<JetStreamManager> | undefined;
  /** Removals in their order, retried until they succeed or the node ends. */
  #removals: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();

  constructor(options: DurableOptions) {
    this.#options = options;
    this.#kvm = new Kvm(options.connection);
  }

  /** Stores a record. Returns once the server has it. @throws NexError `state_unusable` */
  async put(record: DeployRecord): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(record));
    const max = this.#options.connection.info?.max_payload ?? bytes.length;
    if (bytes.length > max) {
      const text = `it has ${bytes.length} bytes with its request, and the NATS server takes ${max}`;
      throw new NexError("request_too_large", `Cannot keep the deploy in a bucket: ${text}`);
    }
    try {
      const bucket = await this.#bucketOf(record.namespace);
      await bucket.put(this.#keyOf(record.id), bytes);
    } catch (cause) {
      this.#buckets.delete(record.namespace);
      throw unusable(`Cannot keep the deploy in the bucket ${bucketName(record.namespace)}`, cause);
    }
  }

  /** Removes a record, as soon as the server can be asked. */
  remove(name: RecordName): void {
    this.#removals = this.#removals.then(() => this.#untilRemoved(name));
  }

  /**
   * Reads the records of this node.
   *
   * @throws NexError `state_unusable`: a node that can't read them must not start without them.
   */
  async read(): Promise<DeployRecord[]> {
    const { nodeId, log } = this.#options;
    try {
      const records: DeployRecord[] = [];
      for (const { bucket, name } of await this.#entries()) {
        const entry = await bucket.get(name);
        if (entry === null || entry.operation !== "PUT") continue;
        const parsed = parseRecord(Buffer.from(entry.value).toString());
        if ("record" in parsed) records.push(parsed.record);
        else log.error({ key: name, reason: parsed.reason }, "a deploy's record in a bucket is unreadable");
      }
      return records;
    } catch (cause) {
      throw unusable(`Cannot read the deploys of node ${nodeId} from their buckets`, cause);
    }
  }

  /** Makes the buckets like the records of the state directory. Done in the background, until it succeeds. */
  follow(deploys: DeployRecords): void {
    this.#removals = this.#removals.then(() =>
      this.#retried("deploys in buckets can't be compared with those on the disk", async () => {
        const entries = await this.#entries();
        // Read after the buckets: a deploy that is accepted meanwhile has its record before its copy.
        const { records } = await deploys.read();
        const missing = new Map(records.map((record) => [this.#keyOf(record.id), record]));
        for (const { bucket, name, stream } of entries) {
          if (!missing.delete(name)) await this.#delete(bucket, stream, name);
        }
        for (const record of missing.values()) await this.put(record);
      }),
    );
  }

  async #untilRemoved({ id, namespace }: RecordName): Promise<void> {
    await this.#retried("the record of a deploy can't be removed from its bucket", async () => {
      const bucket = await this.#bucketOf(namespace);
      await this.#delete(bucket, streamName(namespace), this.#keyOf(id));
    });
  }

  /** Removes the message itself, so that no marker of it stays for ever. */
  async #delete(bucket: KV, stream: string, key: string): Promise<void> {
    const entry = await bucket.get(key);
    if (entry === null) return;
    const { connection } = this.#options;
    this.#manager ??= jetstreamManager(connection, { timeout: jetStreamTimeMs, checkAPI: false });
    const manager = await this.#manager;
    await manager.streams.deleteMessage(stream, entry.revision, false);
  }

  async #retried(failing: string, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    for (let delayMs = retryFirstMs; !signal.aborted; delayMs = Math.min(delayMs * 2, retryMaxMs)) {
      try {
        return await work();
      } catch (error) {
        this.#manager = undefined;
        this.#buckets.clear();
        this.#options.log.warn({ reason: errorText(error), delayMs }, failing);
        await delay(delayMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Keys of this node in all buckets. */
  async #entries(): Promise<{ bucket: KV; stream: string; name: string }[]> {
    const entries: { bucket: KV; stream: string; name: string }[] = [];
    for await (const { bucket: full } of this.#kvm.list()) {
      if (!full.startsWith(prefix)) continue;
      const bucket = await this.#kvm.open(full, { timeout: jetStreamTimeMs });
      const keys = await bucket.keys(`${this.#options.nodeId}.>`);
      for await (const name of keys) entries.push({ bucket, stream: `KV_${full}`, name });
    }
    return entries;
  }

  #keyOf(id: string): string {
    return `${this.#options.nodeId}.${id}`;
  }

  #bucketOf(namespace: string): Promise<KV> {
    const known = this.#buckets.get(namespace);
    if (known !== undefined) return known;
    const { replicas } = this.#options;
    const opening = this.#kvm.create(bucketName(namespace), {
      description: `deploys of Nex nodes in the namespace ${namespace}`,
      ...{ history: 1, replicas, timeout: jetStreamTimeMs },
    });
    this.#buckets.set(namespace, opening);
    opening.catch(() => this.#buckets.delete(namespace));
    return opening;
  }

  /** Waits a little for removals, which the next start makes up for otherwise. */
  async [Symbol.asyncDispose](): Promise<void> {
    const late = delay(lastRemovalsMs, undefined, { ref: false });
    await Promise.race([this.#removals, late]);
    this.#stopping.abort();
  }
}

/** File of a state directory that has had its records from their buckets. From then on the directory leads. */
const markFile = "durable.json";

/**
 * Brings the records of a state directory and their copies together: a directory that has never had any gets the copies,
 * otherwise the copies become those of the directory.
 *
 * @returns the records that the directory did not have.
 * @throws NexError `state_unusable`
 */
export async function recoverDeploys(
  durable: DurableDeploys,
  { path, deploys }: Pick<StateDirectory, "path" | "deploys">,
): Promise<DeployRecord[]> {
  const mark = join(path, markFile);
  const missing: DeployRecord[] = [];
  if ((await readIfThere(mark)) === undefined) {
    const ids = new Set((await deploys.read()).records.map(({ id }) => id));
    missing.push(...(await durable.read()).filter(({ id }) => !ids.has(id)));
    for (const record of missing) await deploys.update(record);
    await (await prepareFile(mark, `${JSON.stringify({ version: 1 })}\n`)).commit();
  }
  durable.follow(deploys);
  return missing;
}

/** Name of a namespace's bucket. */
function bucketName(namespace: string): string {
  return prefix + bucketNamePart(namespace);
}

function streamName(namespace: string): string {
  return `KV_${bucketName(namespace)}`;
}

function unusable(head: string, cause: unknown): NexError {
  const text = errorText(cause);
  // The client says this also of a cluster in which nobody answers.
  const why = /^jetstream is not enabled$/i.test(text) ? `${text}, or has no leader` : text;
  return new NexError("state_unusable", `${head}: ${why}`, {
    cause,
    advice: "The node's NATS account needs JetStream for durable deploys; start without: --durable",
  });
}
