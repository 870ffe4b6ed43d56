import { openSync, readSync } from "node:fs";

let urandomFd: number | undefined;

/**
 * Fills bytes with randomness of the kernel, which is seeded anew in each copy of a machine. What `node:crypto` has of
 * its own would be the same in all copies, and loading it takes megabytes.
 */
export function fillRandom(bytes: Uint8Array): void {
  urandomFd ??= openSync("/dev/urandom", "r");
  for (let at = 0; at < bytes.length; ) at += readSync(urandomFd, bytes, at, bytes.length - at, null);
}
