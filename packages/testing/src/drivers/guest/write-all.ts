import { writeSync } from "node:fs";

/** Writes all bytes, also if the kernel accepts them in parts. */
export function writeAll(fd: number, bytes: Buffer): void {
  for (let sent = 0; sent < bytes.length; ) sent += writeSync(fd, bytes, sent);
}
