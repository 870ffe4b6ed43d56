import { writeSync } from "node:fs";

/** Writes all, however often the kernel takes a part. */
export function writeAll(fd: number, bytes: Buffer): void {
  for (let sent = 0; sent < bytes.length; ) sent += writeSync(fd, bytes, sent);
}
