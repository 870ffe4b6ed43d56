/** Names of the buckets of host services, and whose each is. */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { jetStreamCode, type Owner, ServiceError } from "./service.ts";

/** A request to JetStream may take so long. */
export const jetStreamTimeMs = 5_000;
/** JetStream's code for a stream that is not there. */
const streamNotFound = 10_059;

/** What the configuration says of a service's buckets. */
export interface BucketSettings {
  /** With `${namespace}` and `${workload_name}`, in any case. */
  bucketName: string;
  maxBytes: number;
  /** Is a bucket made that is not there? */
  provision: boolean;
}

/** The name of an owner's bucket. What a bucket's name can't hold is written as its bytes in hexadecimal. */
function bucketName(template: string, { namespace, name }: Owner): string {
  return template
    .replace(/\$\{namespace\}/gi, () => encoded(namespace))
    .replace(/\$\{workload_name\}/gi, () => encoded(name));
}

function encoded(text: string): string {
  return text.replace(/[^\w-]/gu, (character) => `-${Buffer.from(character).toString("hex")}-`);
}

/** How a bucket of ours says whose it is. */
function bucketDescription({ namespace, name }: Owner): string {
  return `nex:${namespace}/${name}`;
}

/** How one kind of bucket is opened and made. */
export interface BucketKind<T> {
  /** What its streams' names begin with. */
  streamPrefix: string;
  open(bucket: string): Promise<T>;
  create(bucket: string, description: string): Promise<T>;
}

/** The one bucket of a function, opened when it is first used. */
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
   * Works with the bucket; one that somebody has removed meanwhile is opened anew, once.
   *
   * @throws ServiceError 403 when it is another's, 404 when it is not there and may not be made
   */
  async use<R>(work: (bucket: T) => Promise<R>): Promise<R> {
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
 * Looks at the stream behind a bucket: two owners may come to one name, as `a_b` and `c` do with `a` and `b_c`.
 *
 * @returns whether it is there.
 * @throws ServiceError 403 when it is another's
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
  // The reference gives no description; without a "_" in the namespace its names can't be mistaken for another's.
  const own = known ? description === bucketDescription(owner) : !owner.namespace.includes("_");
  if (own) return true;
  throw new ServiceError(403, `the bucket ${bucket} belongs to another workload (bucket_of_another)`);
}
