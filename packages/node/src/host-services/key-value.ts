/** `hostServices.kv`: one key-value bucket for each function. */
import { jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/nats-core";
import { type BucketSettings, bucketDescription, bucketName, isOwnBucket } from "./buckets.ts";
import { type Method, nothing, type Owner, ServiceError, textOf } from "./service.ts";

/** `keys` gives no more than these. */
const keysMax = 100_000;
const keyForm = /^(?!\.)(?!.*\.$)(?!.*\.\.)[-/=.\w]{1,1024}$/;

export class KeyValueService {
  readonly #connection: NatsConnection;
  readonly #owner: Owner;
  readonly #settings: BucketSettings;
  readonly #timeMs: number;
  #bucket: Promise<KV> | undefined;

  constructor(connection: NatsConnection, owner: Owner, settings: BucketSettings, timeMs: number) {
    this.#connection = connection;
    this.#owner = owner;
    this.#settings = settings;
    this.#timeMs = timeMs;
  }

  readonly get: Method = async ([key]) => {
    const name = keyOf(key, "key is required");
    const entry = await this.#use((bucket) => bucket.get(name));
    if (entry === null || entry.operation !== "PUT") throw new ServiceError(404, `there is no key "${name}"`);
    return { kind: "bytes", bytes: entry.value };
  };

  readonly set: Method = async ([key, value]) => {
    const name = keyOf(key, "key and value are required");
    if (value === undefined) throw new ServiceError(400, "key and value are required");
    await this.#use((bucket) => bucket.put(name, value));
    return nothing;
  };

  readonly delete: Method = async ([key]) => {
    const name = keyOf(key, "key is required");
    await this.#use((bucket) => bucket.delete(name));
    return nothing;
  };

  readonly keys: Method = async () => {
    const keys = await this.#use(async (bucket) => {
      const found: string[] = [];
      for await (const key of await bucket.keys()) {
        if (found.length === keysMax) throw new ServiceError(413, `there are over ${keysMax} keys`);
        found.push(key);
      }
      return found;
    });
    return { kind: "json", value: keys };
  };

  /** A bucket that somebody has removed meanwhile is opened anew, once. */
  async #use<T>(work: (bucket: KV) => Promise<T>): Promise<T> {
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
      if (this.#bucket === known) this.#bucket = undefined;
      return await work(await this.#open());
    }
  }

  #open(): Promise<KV> {
    if (this.#bucket === undefined) {
      const opening = this.#openNow();
      this.#bucket = opening;
      opening.catch(() => {
        if (this.#bucket === opening) this.#bucket = undefined;
      });
    }
    return this.#bucket;
  }

  async #openNow(): Promise<KV> {
    const bucket = bucketName(this.#settings.bucketName, this.#owner);
    const manager = await jetstreamManager(this.#connection, { timeout: this.#timeMs });
    const kvm = new Kvm(this.#connection);
    const there = await isOwnBucket(manager, `KV_${bucket}`, bucket, this.#owner);
    if (there) return await kvm.open(bucket, { timeout: this.#timeMs });
    if (!this.#settings.provision) throw new ServiceError(404, `there is no bucket ${bucket}`);
    return await kvm.create(bucket, {
      description: bucketDescription(this.#owner),
      max_bytes: this.#settings.maxBytes,
      history: 1,
      timeout: this.#timeMs,
    });
  }
}

function keyOf(arg: Buffer | undefined, missing: string): string {
  const key = textOf(arg, missing);
  if (keyForm.test(key)) return key;
  throw new ServiceError(
    400,
    `"${key.slice(0, 100)}" can't be a key: it may have letters, digits, and - / = . _`,
  );
}
