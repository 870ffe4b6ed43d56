/** `hostServices.objectStore`: one object store for each function. */
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { type ObjectInfo, type ObjectStore, Objm, StorageType } from "@nats-io/obj";
import { hostCallBytesMax } from "@nexengine/protocol/internal";
import { type BucketSettings, bucketDescription, bucketName, isOwnBucket } from "./buckets.ts";
import { type Method, nothing, type Owner, ServiceError, textOf } from "./service.ts";

const objectsMax = 10_000;
const nameBytesMax = 1_024;

export class ObjectStoreService {
  readonly #connection: NatsConnection;
  readonly #owner: Owner;
  readonly #settings: BucketSettings;
  readonly #timeMs: number;
  #bucket: Promise<ObjectStore> | undefined;

  constructor(connection: NatsConnection, owner: Owner, settings: BucketSettings, timeMs: number) {
    this.#connection = connection;
    this.#owner = owner;
    this.#settings = settings;
    this.#timeMs = timeMs;
  }

  readonly get: Method = async ([arg]) => {
    const name = nameOf(arg, "name is required");
    const bytes = await this.#use(async (bucket) => {
      const info = await bucket.info(name);
      if (info === null || info.deleted) throw new ServiceError(404, `there is no object "${name}"`);
      // Before it is read: it may be anything.
      if (info.size >= hostCallBytesMax) {
        throw new ServiceError(
          413,
          `the object has ${info.size} bytes, a function takes ${hostCallBytesMax}`,
        );
      }
      const blob = await bucket.getBlob(name);
      if (blob === null) throw new ServiceError(404, `there is no object "${name}"`);
      return blob;
    });
    return { kind: "bytes", bytes };
  };

  readonly put: Method = async ([arg, value]) => {
    const name = nameOf(arg, "name and value are required");
    if (value === undefined) throw new ServiceError(400, "name and value are required");
    const info = await this.#use((bucket) => bucket.putBlob({ name }, value));
    return { kind: "json", value: shown(info) };
  };

  readonly delete: Method = async ([arg]) => {
    const name = nameOf(arg, "name is required");
    await this.#use(async (bucket) => {
      const info = await bucket.info(name);
      if (info !== null && !info.deleted) await bucket.delete(name);
    });
    return nothing;
  };

  readonly list: Method = async () => {
    const infos = await this.#use((bucket) => bucket.list());
    const there = infos.filter(({ deleted }) => !deleted);
    if (there.length > objectsMax) throw new ServiceError(413, `there are over ${objectsMax} objects`);
    return { kind: "json", value: there.map(shown) };
  };

  async #use<T>(work: (bucket: ObjectStore) => Promise<T>): Promise<T> {
    const known = this.#bucket;
    try {
      return await work(await this.#open());
    } catch (error) {
      if (
        known === undefined ||
        error instanceof ServiceError ||
        !/stream not found|no responders/i.test(String(error))
      )
        throw error;
      // Somebody has removed it meanwhile.
      if (this.#bucket === known) this.#bucket = undefined;
      return await work(await this.#open());
    }
  }

  #open(): Promise<ObjectStore> {
    if (this.#bucket === undefined) {
      const opening = this.#openNow();
      this.#bucket = opening;
      opening.catch(() => {
        if (this.#bucket === opening) this.#bucket = undefined;
      });
    }
    return this.#bucket;
  }

  async #openNow(): Promise<ObjectStore> {
    const bucket = bucketName(this.#settings.bucketName, this.#owner);
    const manager = await jetstreamManager(this.#connection, { timeout: this.#timeMs });
    const objm = new Objm(this.#connection);
    const there = await isOwnBucket(manager, `OBJ_${bucket}`, bucket, this.#owner);
    if (there) return await objm.open(bucket);
    if (!this.#settings.provision) throw new ServiceError(404, `there is no bucket ${bucket}`);
    return await objm.create(bucket, {
      description: bucketDescription(this.#owner),
      max_bytes: this.#settings.maxBytes,
      storage: StorageType.File,
    });
  }
}

function nameOf(arg: Buffer | undefined, missing: string): string {
  if ((arg?.length ?? 0) > nameBytesMax)
    throw new ServiceError(400, `an object's name has at most ${nameBytesMax} bytes`);
  return textOf(arg, missing);
}

/** What the reference tells of an object. */
function shown({
  name,
  options,
  bucket,
  nuid,
  size,
  mtime,
  chunks,
  digest,
}: ObjectInfo): Record<string, unknown> {
  return {
    name,
    options: { max_chunk_size: options?.max_chunk_size },
    bucket,
    nuid,
    size,
    mtime,
    chunks,
    digest,
  };
}
