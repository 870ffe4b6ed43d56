import { open } from "node:fs/promises";

/** A path of a directory that is short enough for the address of a socket in it, which has 107 bytes at most. */
export interface ShortPath extends AsyncDisposable {
  readonly path: string;
}

/** Opens a directory for short paths. They lead through a descriptor, so they hold until it is disposed. */
export async function openShortPath(directory: string): Promise<ShortPath> {
  const handle = await open(directory);
  const path = process.platform === "linux" ? `/proc/self/fd/${handle.fd}` : directory;
  return { path, [Symbol.asyncDispose]: () => handle.close() };
}
