/** `hostServices.objectStore`: one object store for each function. */
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { type ObjectInfo, type ObjectStore, Objm, StorageType } from "@nats-io/obj";
import { hostCallBytesMax } from "@nexengine/protocol/agent";
import { ObjectConsumers } from "../connections/object-consumers.ts";
import { type BucketSettings, OwnBucket } from "./buckets.ts";
import { type Method, nothing, type Owner, ServiceError, textOf } from "./service.ts";

const objectsMax = 10_000;
const nameBytesMax = 1_024;

export class ObjectStoreService {
  readonly #bucket: OwnBucket<ObjectStore>;
  readonly #consumers: ObjectConsumers;
  #reading = 0;

  constructor(connection: NatsConnection, owner: Owner, settings: BucketSettings) {
    const js = jetstream(connection);
    this.#consumers = new ObjectConsumers(js);
    const objm = new Objm(js);
    this.#bucket = new OwnBucket(connection, owner, settings, {
      streamPrefix: "OBJ_",
      open: (bucket) => objm.open(bucket),
      create: (bucket, description) =>
        objm.create(bucket, { description, max_bytes: settings.maxBytes, storage: StorageType.File }),
    });
  }

  readonly get: Method = async ([arg], room) => {
    const name = nameOf(arg, "name is required");
    const bytes = await this.#bucket.use(async (bucket) => {
      const info = await bucket.info(name);
      if (info === null || info.deleted) throw new ServiceError(404, `there is no object "${name}"`);
      // Checked before it is read, because it may have any size.
      if (info.size >= hostCallBytesMax) {
        throw new ServiceError(
          413,
          `the object has ${info.size} bytes, a function takes ${hostCallBytesMax}`,
        );
      }
      room.take(info.size);
      const blob = await this.#read(bucket, name);
      if (blob === null) throw new ServiceError(404, `there is no object "${name}"`);
      return blob;
    });
    return { kind: "bytes", bytes };
  };

  async #read(bucket: ObjectStore, name: string): Promise<Uint8Array | null> {
    this.#reading++;
    try {
      return await bucket.getBlob(name);
    } finally {
      // Others that are being read have consumers too.
      if (--this.#reading === 0) this.#consumers.release();
    }
  }

  readonly put: Method = async ([arg, value]) => {
    const name = nameOf(arg, "name and value are required");
    if (value === undefined) throw new ServiceError(400, "name and value are required");
    const info = await this.#bucket.use((bucket) => bucket.putBlob({ name }, value));
    return { kind: "json", value: shown(info) };
  };

  readonly delete: Method = async ([arg]) => {
    const name = nameOf(arg, "name is required");
    await this.#bucket.use(async (bucket) => {
      const info = await bucket.info(name);
      if (info !== null && !info.deleted) await bucket.delete(name);
    });
    return nothing;
  };

  readonly list: Method = async () => {
    const infos = await this.#bucket.use((bucket) => bucket.list());
    const there = infos.filter(({ deleted }) => !deleted);
    if (there.length > objectsMax) throw new ServiceError(413, `there are over ${objectsMax} objects`);
    return { kind: "json", value: there.map(shown) };
  };
}

function nameOf(arg: Buffer | undefined, missing: string): string {
  if ((arg?.length ?? 0) > nameBytesMax)
    throw new ServiceError(400, `an object's name has at most ${nameBytesMax} bytes`);
  return textOf(arg, missing);
}

/** Facts about an object, as Go Nex gives them. */
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
