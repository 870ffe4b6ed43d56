/** Facts that all buckets of a node share. */

/** Timeout of a JetStream request. */
export const jetStreamTimeMs = 5_000;

/** A text as part of a bucket's name. Characters that a name cannot have are written in hexadecimal. */
export function bucketNamePart(text: string): string {
  return text.replace(/[^\w-]/gu, (character) => `-${Buffer.from(character).toString("hex")}-`);
}
