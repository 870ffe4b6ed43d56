/** Finds the layers of an OCI image in a layout on the disk. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { MachineError } from "../../errors.ts";
import type { FileTree } from "../file-tree.ts";

const layoutMark = "/oci-layout";
const indexPlace = "/index.json";
const documentBytesMax = 4_194_304;
const layersMax = 256;
/** Maximum depth of nested indexes. */
const indexesMax = 4;
const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** A descriptor: reference to a blob and its platform. */
interface Descriptor {
  digest: string;
  platform?: { os?: string; architecture?: string };
}

/**
 * Returns the layers of an OCI image layout, lowest first, as files with verified digests.
 *
 * @param tree Content of the image's directory or archive.
 * @returns `undefined` if it is not such an image.
 * @throws MachineError `rootfs_failed`
 */
export async function imageLayers(tree: FileTree, path: string): Promise<string[] | undefined> {
  if (tree.find(layoutMark)?.kind !== "file") return undefined;
  const image = new Layout(tree, path);
  const manifest = await image.manifest();
  const layers = descriptorsOf(manifest["layers"]);
  if (layers.length === 0 || layers.length > layersMax) {
    throw image.failed(`it has ${layers.length} layers, and has to have 1 to ${layersMax}`);
  }
  const [config] = descriptorsOf([manifest["config"]]);
  if (config !== undefined) image.demandPlatform(await image.document(await image.blob(config.digest)));
  return await Promise.all(layers.map(({ digest }) => image.blob(digest)));
}

class Layout {
  readonly #tree: FileTree;
  readonly #path: string;

  constructor(tree: FileTree, path: string) {
    this.#tree = tree;
    this.#path = path;
  }

  /** Returns the manifest of the only image for this host's platform. */
  async manifest(): Promise<Record<string, unknown>> {
    let document = await this.document(this.#fileAt(indexPlace));
    for (let depth = 0; depth < indexesMax && Array.isArray(document["manifests"]); depth++) {
      const fitting = descriptorsOf(document["manifests"]).filter(({ platform }) => isOurs(platform));
      const digests = new Set(fitting.map(({ digest }) => digest));
      const [digest] = digests;
      if (digest === undefined) throw this.failed(`it has nothing for ${platformName()}`);
      if (digests.size > 1)
        throw this.failed(`it holds ${digests.size} images for ${platformName()}; give one alone`);
      document = await this.document(await this.blob(digest));
    }
    return document;
  }

  demandPlatform({ os, architecture }: Record<string, unknown>): void {
    if (
      isOurs({
        ...(typeof os === "string" && { os }),
        ...(typeof architecture === "string" && { architecture }),
      })
    )
      return;
    throw this.failed(`it is for ${String(os)}/${String(architecture)}, and not for ${platformName()}`);
  }

  /** Returns the file of a blob after verifying its digest. */
  async blob(digest: string): Promise<string> {
    const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
    if (hex === undefined) throw this.failed(`its digest "${digest.slice(0, 100)}" is no SHA-256`);
    const file = this.#fileAt(`/blobs/sha256/${hex}`);
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(file, { highWaterMark: 1_048_576 })) hash.update(chunk);
    if (hash.digest("hex") === hex) return file;
    throw this.failed(`its blob ${hex} is damaged: the content has another digest`);
  }

  async document(file: string): Promise<Record<string, unknown>> {
    const { size } = await stat(file);
    if (size > documentBytesMax) throw this.failed(`one of its documents has ${size} bytes`);
    try {
      const told: unknown = JSON.parse(await readFile(file, "utf8"));
      if (typeof told === "object" && told !== null) return told as Record<string, unknown>;
    } catch (cause) {
      throw this.failed("one of its documents is no JSON", cause);
    }
    throw this.failed("one of its documents is no JSON object");
  }

  failed(why: string, cause?: unknown): MachineError {
    return new MachineError("rootfs_failed", `Cannot use the image "${this.#path}": ${why}`, { cause });
  }

  #fileAt(place: string): string {
    const node = this.#tree.find(place);
    if (node?.kind === "file" && "path" in node.source) return node.source.path;
    throw this.failed(`its "${place}" is missing`);
  }
}

function descriptorsOf(told: unknown): Descriptor[] {
  if (!Array.isArray(told)) return [];
  return told.filter(
    (one): one is Descriptor => typeof one === "object" && one !== null && typeof one.digest === "string",
  );
}

/** A descriptor without a platform matches. */
function isOurs(platform: Descriptor["platform"]): boolean {
  const { os = "linux", architecture = architectures[process.arch] } = platform ?? {};
  return os === "linux" && architecture === architectures[process.arch];
}

function platformName(): string {
  return `linux/${architectures[process.arch] ?? process.arch}`;
}
