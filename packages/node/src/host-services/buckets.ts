/** Buckets of host services: their names and their owners. */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { bucketNamePart } from "@nexengine/protocol/subjects";
import { jetStreamTimeMs } from "../connections/buckets.ts";
import { assertTakesMore, jetStreamCode, type Owner, ServiceError } from "./service.ts";

/** JetStream error code for a missing stream. */
const streamNotFound = 10_059;

/** Configuration of a service's buckets. */
export interface BucketSettings {
  /** Template with `${namespace}` and `${workload_name}`, in any case. */
  bucketName: string;
  maxBytes: number;
  /** Whether a missing bucket is created. */
  provision: boolean;
}

/** Name of an owner's bucket. */
function bucketName(template: string, { namespace, name }: Owner): string {
  return template
    .replace(/\$\{namespace\}/gi, () => bucketNamePart(namespace))
    .replace(/\$\{workload_name\}/gi, () => bucketNamePart(name));
}

/** Description of a bucket, which names its owner. */
function bucketDescription({ namespace, name }: Owner): string {
  return `nex:${namespace}/${name}`;
}

/** How one kind of bucket is opened and created. */
export interface BucketKind<T> {
  /** Prefix of its stream names. */
  streamPrefix: string;
  open(bucket: string): Promise<T>;
  create(bucket: string, description: string): Promise<T>;
}

/** The bucket of a function, opened at its first use. */
export class OwnBucket<T> {
  readonly #connection: NatsConnection;
  readonly #owner: Owner;
  readonly #settings: BucketSettings;
  readonly #kind: BucketKind<T>;
  #bucket: Promise<T> | undefined;

  constructor(connection: NatsConnection, owner: Owner, settings: BucketSettings, kind: BucketKind<T>) {
    this.#connection = connection;
    this.#owner = owner;
    this.#settings = settings;
    this.#kind = kind;
  }

  /**
   * Runs an operation on the bucket. If somebody removed the bucket, it is opened again, once.
   *
   * @throws ServiceError 403 for another owner's bucket, 404 for a missing one that may not be created,
   *   429 while the NATS server takes no more
   */
  async use<R>(work: (bucket: T) => Promise<R>): Promise<R> {
    assertTakesMore(this.#connection);
    const known = this.#bucket;
    try {
      return await work(await this.#open());
    } catch (error) {
      const isGone = known !== undefined && /stream not found|no responders/i.test(String(error));
      if (!isGone || error instanceof ServiceError) throw error;
      if (this.#bucket === known) this.#bucket = undefined;
      return await work(await this.#open());
    }
  }

  #open(): Promise<T> {
    if (this.#bucket === undefined) {
      const opening = this.#openNow();
      this.#bucket = opening;
      opening.catch(() => {
        if (this.#bucket === opening) this.#bucket = undefined;
      });
    }
    return this.#bucket;
  }

  async #openNow(): Promise<T> {
    const { bucketName: template, provision } = this.#settings;
    const bucket = bucketName(template, this.#owner);
    const manager = await jetstreamManager(this.#connection, { timeout: jetStreamTimeMs });
    const there = await isOwnBucket(manager, `${this.#kind.streamPrefix}${bucket}`, bucket, this.#owner);
    if (there) return await this.#kind.open(bucket);
    if (!provision) throw new ServiceError(404, `there is no bucket ${bucket}`);
    return await this.#kind.create(bucket, bucketDescription(this.#owner));
  }
}

/**
 * Checks the stream behind a bucket: two owners can have one bucket name, as `a_b` and `c` do with `a` and `b_c`.
 *
 * @returns whether it exists.
 * @throws ServiceError 403 for another owner's bucket
 */
async function isOwnBucket(
  manager: JetStreamManager,
  stream: string,
  bucket: string,
  owner: Owner,
): Promise<boolean> {
  let description: string | undefined;
  try {
    description = (await manager.streams.info(stream)).config.description;
  } catch (error) {
    const code = jetStreamCode(error);
    if (code === streamNotFound) return false;
    throw error;
  }
  const known = description?.startsWith("nex:") ?? false;
  // Buckets of Go Nex have no description. Without "_" in the namespace, their names are unambiguous.
  const own = known ? description === bucketDescription(owner) : !owner.namespace.includes("_");
  if (own) return true;
  throw new ServiceError(403, `the bucket ${bucket} belongs to another workload (bucket_of_another)`);
}
