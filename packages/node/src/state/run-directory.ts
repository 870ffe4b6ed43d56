/** The directory in which a node keeps what it needs while it runs; gone when it ends. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class RunDirectory implements AsyncDisposable {
  readonly path: string;
  readonly #own: boolean;

  private constructor(path: string, own: boolean) {
    this.path = path;
    this.#own = own;
  }

  /** @param path A directory that stays; a fresh one that goes when absent. */
  static async create(path?: string): Promise<RunDirectory> {
    const root = path ?? (await mkdtemp(join(tmpdir(), "nex-node-")));
    const directory = new RunDirectory(root, path === undefined);
    await mkdir(directory.machines, { recursive: true, mode: 0o700 });
    await mkdir(directory.artifacts, { recursive: true, mode: 0o700 });
    return directory;
  }

  get machines(): string {
    return join(this.path, "machines");
  }

  get artifacts(): string {
    return join(this.path, "artifacts");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = this.#own ? [this.path] : [this.machines, this.artifacts];
    for (const path of gone) await rm(path, { recursive: true, force: true });
  }
}
