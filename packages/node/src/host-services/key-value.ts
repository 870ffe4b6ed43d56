/** `hostServices.kv`: one key-value bucket for each function. */
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/nats-core";
import { jetStreamTimeMs } from "../connections/buckets.ts";
import { type BucketSettings, OwnBucket } from "./buckets.ts";
import { type Method, nothing, type Owner, ServiceError, textOf } from "./service.ts";

/** Maximum number of keys in an answer of `keys`. */
const keysMax = 100_000;
const keyForm = /^(?!\.)(?!.*\.$)(?!.*\.\.)[-/=.\w]{1,1024}$/;

export class KeyValueService {
  readonly #bucket: OwnBucket<KV>;

  constructor(connection: NatsConnection, owner: Owner, settings: BucketSettings) {
    const kvm = new Kvm(connection);
    const timeout = jetStreamTimeMs;
    this.#bucket = new OwnBucket(connection, owner, settings, {
      streamPrefix: "KV_",
      open: (bucket) => kvm.open(bucket, { timeout }),
      create: (bucket, description) =>
        kvm.create(bucket, { description, max_bytes: settings.maxBytes, history: 1, timeout }),
    });
  }

  readonly get: Method = async ([key], room) => {
    const name = keyOf(key, "key is required");
    const entry = await this.#bucket.use((bucket) => bucket.get(name));
    if (entry === null || entry.operation !== "PUT") throw new ServiceError(404, `there is no key "${name}"`);
    room.take(entry.value.length);
    return { kind: "bytes", bytes: entry.value };
  };

  readonly set: Method = async ([key, value]) => {
    const name = keyOf(key, "key and value are required");
    if (value === undefined) throw new ServiceError(400, "key and value are required");
    await this.#bucket.use((bucket) => bucket.put(name, value));
    return nothing;
  };

  readonly delete: Method = async ([key]) => {
    const name = keyOf(key, "key is required");
    await this.#bucket.use((bucket) => bucket.delete(name));
    return nothing;
  };

  readonly keys: Method = async (_, room) => {
    const keys = await this.#bucket.use(async (bucket) => {
      const found: string[] = [];
      for await (const key of await bucket.keys()) {
        if (found.length === keysMax) throw new ServiceError(413, `there are over ${keysMax} keys`);
        room.take(key.length);
        found.push(key);
      }
      return found;
    });
    return { kind: "json", value: keys };
  };
}

function keyOf(arg: Buffer | undefined, missing: string): string {
  const key = textOf(arg, missing);
  if (keyForm.test(key)) return key;
  throw new ServiceError(
    400,
    `"${key.slice(0, 100)}" can't be a key: it may have letters, digits, and - / = . _`,
  );
}
