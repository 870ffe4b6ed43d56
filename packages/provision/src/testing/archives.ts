/** Small archives for tests, as common tools write them. */
import { gzipSync } from "node:zlib";
import { strToU8, zipSync } from "fflate";
import { packTar } from "modern-tar";

/** Contents of files by their names. A name that ends in `/` is a folder. */
export type Files = Readonly<Record<string, string>>;

/** @param level 0 stores the files, 9 deflates them. */
export function zipOf(files: Files, level: 0 | 9 = 0): Buffer {
  const contents = Object.entries(files).map(([name, content]) => [name, strToU8(content)] as const);
  return Buffer.from(zipSync(Object.fromEntries(contents), { level }));
}

export async function tarOf(files: Files): Promise<Buffer> {
  const entries = Object.entries(files).map(([name, content]) => ({
    header: {
      name,
      size: Buffer.byteLength(content),
      type: name.endsWith("/") ? ("directory" as const) : ("file" as const),
    },
    body: content,
  }));
  return Buffer.from(await packTar(entries));
}

export async function tarGzOf(files: Files): Promise<Buffer> {
  return gzipSync(await tarOf(files));
}
