/** The directory in which a node keeps what must outlive a crash of it, and what it needs while it runs. */
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/internal";
import { lockDirectory } from "./lock.ts";
import { MachineRecords } from "./machine-records.ts";

export class StateDirectory implements AsyncDisposable {
  readonly path: string;
  /** The machines that this node, or its dead predecessor, has booted and not destroyed. */
  readonly records: MachineRecords;
  readonly #own: boolean;
  readonly #lock: AsyncDisposable;

  private constructor(path: string, own: boolean, lock: AsyncDisposable) {
    this.path = path;
    this.records = new MachineRecords(join(path, "records"));
    this.#own = own;
    this.#lock = lock;
  }

  /**
   * Opens a directory, 0700, and keeps every other node out of it.
   *
   * @param path A directory that stays; a fresh one that goes with the node when absent.
   * @throws NexError `state_locked`, `state_unusable`
   */
  static async open(path?: string): Promise<StateDirectory> {
    const root = path === undefined ? await mkdtemp(join(tmpdir(), "nex-node-")) : resolve(path);
    try {
      await mkdir(root, { recursive: true, mode: 0o700 });
      await assertOurs(root);
      const directory = new StateDirectory(root, path === undefined, await lockDirectory(root));
      for (const part of [directory.machines, directory.artifacts, directory.records.path]) {
        await mkdir(part, { recursive: true, mode: 0o700 });
      }
      return directory;
    } catch (cause) {
      if (cause instanceof NexError) throw cause;
      throw new NexError("state_unusable", `Cannot use the state directory "${root}": ${errorText(cause)}`, {
        cause,
        advice: "Name another one with: --state-directory DIR",
      });
    }
  }

  /** Where machines have their directories. */
  get machines(): string {
    return join(this.path, "machines");
  }

  get artifacts(): string {
    return join(this.path, "artifacts");
  }

  /** Where drivers keep their own state. */
  get drivers(): string {
    return join(this.path, "drivers");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What a record still names is left for the next node.
    const gone = this.#own ? [this.path] : [this.artifacts];
    const kept = (await this.records.list()).length > 0;
    if (!kept) for (const path of gone) await rm(path, { recursive: true, force: true });
    await this.#lock[Symbol.asyncDispose]();
  }
}

/** So many nodes of one user run on one host without being told apart. */
const numberedMax = 64;

/**
 * Opens the directory with the lowest number that no other node uses.
 *
 * @param parent Where the numbered directories are.
 * @throws NexError `state_locked`, `state_unusable`
 */
export async function openNumbered(parent: string): Promise<StateDirectory> {
  for (let number = 1; number <= numberedMax; number++) {
    const directory = await openUnlocked(join(parent, String(number)));
    if (directory !== undefined) return directory;
  }
  throw new NexError(
    "state_locked",
    `Cannot start: ${numberedMax} nodes use the directories in "${parent}"`,
    {
      advice: "Name another one with: --state-directory DIR",
    },
  );
}

/** Opens those numbered directories, one after the other, that nobody uses: their nodes have ended. */
export async function* openAbandoned(parent: string): AsyncGenerator<StateDirectory> {
  for (const name of await readdir(parent).catch(() => [])) {
    if (!/^\d{1,2}$/.test(name)) continue;
    const directory = await openUnlocked(join(parent, name));
    if (directory !== undefined) yield directory;
  }
}

async function openUnlocked(path: string): Promise<StateDirectory | undefined> {
  try {
    return await StateDirectory.open(path);
  } catch (error) {
    if (error instanceof NexError && error.code === "state_locked") return undefined;
    throw error;
  }
}

/** Nobody else may write where secrets and machines are kept. */
async function assertOurs(path: string): Promise<void> {
  const { uid } = await stat(path);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new NexError(
      "state_unusable",
      `Cannot use the state directory "${path}": it belongs to another user`,
    );
  }
  await chmod(path, 0o700);
}
