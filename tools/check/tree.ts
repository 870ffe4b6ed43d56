import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Import, parseImports } from "./imports.ts";
import { type Scanned, scan } from "./scan.ts";

const leftOut = new Set(["node_modules", "dist", ".git", ".nex", "coverage"]);
const fileBytesMax = 2 * 1024 * 1024;
const filesMax = 20_000;

/** The text files of a checkout, by their path from its root. Checks read this and never the disk. */
export class Tree {
  readonly files: ReadonlyMap<string, string>;
  readonly #sources = new Map<string, Source>();

  constructor(files: Iterable<[string, string]>) {
    this.files = new Map(files);
  }

  /** The TypeScript files whose path begins with one of `folders`, in order; fixtures are data and left out. */
  sources(...folders: string[]): Source[] {
    return [...this.files.keys()]
      .filter((path) => folders.some((folder) => path.startsWith(folder)))
      .filter((path) => path.endsWith(".ts") && !path.includes("/fixtures/"))
      .sort()
      .map((path) => this.#source(path));
  }

  /** A JSON file, or `undefined` where there is none. */
  json(path: string): unknown {
    const text = this.files.get(path);
    return text === undefined ? undefined : JSON.parse(text);
  }

  #source(path: string): Source {
    let source = this.#sources.get(path);
    if (source === undefined) {
      source = new Source(path, this.files.get(path) ?? "");
      this.#sources.set(path, source);
    }
    return source;
  }
}

/** One TypeScript file, scanned once. */
export class Source {
  readonly path: string;
  readonly text: string;
  readonly scanned: Scanned;
  readonly imports: Import[];

  constructor(path: string, text: string) {
    this.path = path;
    this.text = text;
    this.scanned = scan(text);
    this.imports = parseImports(this.scanned);
  }

  /** Whether only test runs load it. */
  get isTest(): boolean {
    return this.path.endsWith(".test.ts") || /^packages\/[^/]+\/src\/testing\//.test(this.path);
  }

  /** The line, from 1, of a place in the text. */
  lineAt(offset: number): number {
    return this.text.slice(0, offset).split("\n").length;
  }
}

/** Reads the text files of a checkout, but none of what is installed, built or generated in it. */
export async function readTree(root: string): Promise<Tree> {
  const files: [string, string][] = [];
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (leftOut.has(entry.name)) continue;
      if (entry.isDirectory()) folders.push(path);
      else if (entry.isFile()) {
        const text = await readText(join(root, path));
        if (text !== undefined) files.push([path, text]);
      }
      if (files.length > filesMax)
        throw new Error(`Cannot check ${root}: it has more than ${filesMax} files`);
    }
  }
  return new Tree(files.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** `undefined` for what is too large, binary, or gone since the folder was read. */
async function readText(path: string): Promise<string | undefined> {
  try {
    if ((await stat(path)).size > fileBytesMax) return undefined;
    const content = await readFile(path);
    return content.includes(0) ? undefined : content.toString("utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
