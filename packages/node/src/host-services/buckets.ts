/** Names of the buckets of host services, and whose each is. */
import type { JetStreamManager } from "@nats-io/jetstream";
import { jetStreamCode, type Owner, ServiceError } from "./service.ts";

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
export function bucketName(template: string, { namespace, name }: Owner): string {
  return template
    .replace(/\$\{namespace\}/gi, () => encoded(namespace))
    .replace(/\$\{workload_name\}/gi, () => encoded(name));
}

function encoded(text: string): string {
  return text.replace(/[^\w-]/gu, (character) => `-${Buffer.from(character).toString("hex")}-`);
}

/** How a bucket of ours says whose it is. */
export function bucketDescription({ namespace, name }: Owner): string {
  return `nex:${namespace}/${name}`;
}

/**
 * Looks at the stream behind a bucket: two owners may come to one name, as `a_b` and `c` do with `a` and `b_c`.
 *
 * @returns whether it is there.
 * @throws ServiceError 403 when it is another's
 */
export async function isOwnBucket(
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
