/** Archives and images for the tests of what reads them. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packTar, type TarHeader } from "modern-tar";
import { buildRootfsDirectory } from "../rootfs/build.ts";
import type { Rootfs, RootfsOptions } from "../rootfs/options.ts";

/** An entry of an archive: a file with this content unless its header says otherwise. */
export interface ArchiveEntry extends Partial<TarHeader> {
  name: string;
  content?: string | Buffer;
}

/** A tar archive. */
export async function tarWith(entries: readonly ArchiveEntry[]): Promise<Buffer> {
  const packed = await packTar(
    entries.map(({ content = "", ...header }) => ({
      header: {
        type: header.name.endsWith("/") ? "directory" : "file",
        size: Buffer.byteLength(content),
        ...header,
      },
      body: content,
    })),
  );
  return Buffer.from(packed);
}

/** The files of an image with these layers, by their places in its layout. */
export function imageFiles(
  layers: readonly Buffer[],
  platform: object = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch },
): Record<string, Buffer> {
  const files: Record<string, Buffer> = { "oci-layout": Buffer.from('{"imageLayoutVersion":"1.0.0"}') };
  const add = (content: Buffer): { digest: string; size: number } => {
    const hex = createHash("sha256").update(content).digest("hex");
    files[`blobs/sha256/${hex}`] = content;
    return { digest: `sha256:${hex}`, size: content.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const manifest = add(json({ config: add(json(platform)), layers: layers.map(add) }));
  const attestation = { ...add(json({})), platform: { os: "unknown", architecture: "unknown" } };
  const index = add(json({ manifests: [attestation, { ...manifest, platform }] }));
  files["index.json"] = json({ manifests: [index] });
  return files;
}

/** A place for bases, and for what is built over them, removed at the end of its scope. */
export class Bench implements AsyncDisposable {
  readonly directory: string;
  readonly output: string;

  constructor(directory: string) {
    this.directory = directory;
    this.output = join(directory, "output");
  }

  static async make(): Promise<Bench> {
    const bench = new Bench(await mkdtemp(join(tmpdir(), "nex-base-")));
    await writeFile(join(bench.directory, "agent.mjs"), "console.log(1);\n");
    return bench;
  }

  /** Writes a file. @returns its path. */
  async write(name: string, content: string | Buffer): Promise<string> {
    const path = join(this.directory, name);
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(path, content);
    return path;
  }

  /** Writes a directory. @returns its path. */
  async writeAll(name: string, files: Record<string, string | Buffer>): Promise<string> {
    for (const [place, content] of Object.entries(files)) await this.write(join(name, place), content);
    return join(this.directory, name);
  }

  build(options: Pick<RootfsOptions, "base" | "script">): Promise<Rootfs> {
    return buildRootfsDirectory({
      output: this.output,
      agentPath: join(this.directory, "agent.mjs"),
      ...options,
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.directory, { recursive: true, force: true });
  }
}
