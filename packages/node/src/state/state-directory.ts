/** The state directory of a node: what must survive a crash, and files of the running node. */
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { z } from "zod";
import { DeployRecords } from "./deploy-records.ts";
import { prepareFile, readIfThere } from "./files.ts";
import { lockDirectory } from "./lock.ts";
import { MachineRecords } from "./machine-records.ts";

export class StateDirectory implements AsyncDisposable {
  readonly path: string;
  /** Deploys that were accepted and not stopped. */
  readonly deploys: DeployRecords;
  /**
   * Number of the node in this directory. Each one that opens it has a larger number, so that agents can tell their node
   * from the one before.
   */
  readonly epoch: number;
  /** Machines that this node, or the node that crashed before it, has booted and not destroyed. */
  readonly records: MachineRecords;
  readonly #own: boolean;
  /** Absent while another process has the directory. */
  #lock: AsyncDisposable | undefined;

  private constructor(path: string, own: boolean, lock: AsyncDisposable | undefined, epoch: number) {
    this.path = path;
    this.epoch = epoch;
    this.deploys = new DeployRecords(join(path, "deploys"));
    this.records = new MachineRecords(join(path, "records"));
    this.#own = own;
    this.#lock = lock;
  }

  /**
   * Opens a directory with mode 0700, and locks it.
   *
   * @param path A permanent directory; a temporary one that is removed with the node when absent.
   * @throws NexError `state_locked`, `state_unusable`
   */
  static async open(path?: string): Promise<StateDirectory> {
    const prefix = join(tmpdir(), "nex-node-");
    try {
      const root = path === undefined ? await mkdtemp(prefix) : resolve(path);
      return await StateDirectory.#openAt(root, path === undefined);
    } catch (cause) {
      if (cause instanceof NexError) throw cause;
      throw unusable(path ?? prefix, errorText(cause), cause);
    }
  }

  /**
   * Opens the directory of a node that still runs, and that hands it over. It must be locked before anything but its epoch
   * is changed.
   *
   * @throws NexError `state_unusable`
   */
  static async openUnlocked(path: string): Promise<StateDirectory> {
    await assertOurs(path);
    return new StateDirectory(path, false, undefined, await nextEpoch(path));
  }

  /** Locks a directory that was opened unlocked. @throws NexError `state_locked` */
  async lock(): Promise<void> {
    this.#lock ??= await lockDirectory(this.path);
    await this.#writePid();
  }

  /** Gives the directory away as it is. Disposing it does nothing then. */
  async unlock(): Promise<void> {
    const lock = this.#lock;
    this.#lock = undefined;
    await lock?.[Symbol.asyncDispose]();
  }

  static async #openAt(root: string, own: boolean): Promise<StateDirectory> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    await assertOurs(root);
    await using stack = new AsyncDisposableStack();
    const lock = stack.use(await lockDirectory(root));
    const directory = new StateDirectory(root, own, lock, await nextEpoch(root));
    const { machines, artifacts, records, deploys } = directory;
    for (const part of [machines, artifacts, records.path, deploys.path]) {
      await mkdir(part, { recursive: true, mode: 0o700 });
    }
    await directory.#writePid();
    stack.move();
    return directory;
  }

  async #writePid(): Promise<void> {
    await writeFile(this.#pidFile, `${process.pid}\n`, { mode: 0o600 });
  }

  /** Shows people which process uses the directory. The lock keeps others out. */
  get #pidFile(): string {
    return join(this.path, "nex.pid");
  }

  /** Whether it is a temporary directory, which is removed with the node. */
  get isTemporary(): boolean {
    return this.#own;
  }

  /** Whether workloads of a node are recorded here. */
  async hasDeploys(): Promise<boolean> {
    return (await readdir(this.deploys.path)).length > 0;
  }

  /** Parent of the machine directories. */
  get machines(): string {
    return join(this.path, "machines");
  }

  get artifacts(): string {
    return join(this.path, "artifacts");
  }

  /** Directory of used tokens. */
  get usedTokens(): string {
    return join(this.path, "used-tokens");
  }

  /** Parent of the state of drivers. */
  get drivers(): string {
    return join(this.path, "drivers");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lock === undefined) return;
    try {
      // Files of recorded machines and deploys are left for the next node.
      const gone = this.#own ? [this.path] : [this.artifacts];
      const isKept = (await this.records.list()).length > 0 || (!this.#own && (await this.hasDeploys()));
      if (!isKept) for (const path of gone) await rm(path, { recursive: true, force: true });
      await rm(this.#pidFile, { force: true });
    } finally {
      await this.#lock[Symbol.asyncDispose]();
    }
  }
}

const versionFile = "state.json";
const versionSchema = z.object({ version: z.number().int().min(1), epoch: z.number().int().min(0) });
/** Layout of the directory. A node refuses a later one, since it does not know what stands in it. */
const layoutVersion = 1;

/** Checks the version of the directory, and counts this node. @throws NexError `state_unusable` */
async function nextEpoch(root: string): Promise<number> {
  const path = join(root, versionFile);
  const text = await readIfThere(path);
  let kept = { version: layoutVersion, epoch: 0 };
  if (text !== undefined) {
    const parsed = versionSchema.safeParse(parseJson(text));
    if (!parsed.success) throw unusable(root, `its file "${versionFile}" is damaged`);
    kept = parsed.data;
  }
  if (kept.version > layoutVersion) {
    throw unusable(
      root,
      `a later version of Nex has written it (layout ${kept.version}, this one knows ${layoutVersion}); nothing in it was changed`,
    );
  }
  const epoch = kept.epoch + 1;
  const file = await prepareFile(path, `${JSON.stringify({ version: layoutVersion, epoch })}\n`);
  await file.commit();
  return epoch;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Maximum number of numbered directories of one user on one host. */
const numberedMax = 64;

/**
 * Opens the first numbered directory that no other node uses.
 *
 * @param parent Parent of the numbered directories.
 * @param isEphemeral Whether directories with recorded deploys are left to the node that continues them.
 * @throws NexError `state_locked`, `state_unusable`
 */
export async function openNumbered(parent: string, isEphemeral = false): Promise<StateDirectory> {
  let firstUnusable: NexError | undefined;
  for (let number = 1; number <= numberedMax; number++) {
    const opened = await tryOpen(join(parent, String(number)));
    if (opened instanceof StateDirectory) {
      if (!isEphemeral || !(await opened.hasDeploys())) return opened;
      await opened[Symbol.asyncDispose]();
      continue;
    }
    if (opened.code === "state_unusable") firstUnusable ??= opened;
  }
  throw (
    firstUnusable ??
    new NexError("state_locked", `Cannot start: ${numberedMax} nodes use the directories in "${parent}"`, {
      advice: "Name another one with: --state-directory DIR",
    })
  );
}

/** Opens, one after the other, the numbered directories of nodes that have exited. */
export async function* openAbandoned(parent: string): AsyncGenerator<StateDirectory> {
  for (const name of await readdir(parent).catch(() => [])) {
    const opened = /^\d{1,2}$/.test(name) ? await tryOpen(join(parent, name)) : undefined;
    if (opened instanceof StateDirectory) yield opened;
  }
}

/** @returns an error when another node or user has the directory. */
async function tryOpen(path: string): Promise<StateDirectory | NexError> {
  try {
    return await StateDirectory.open(path);
  } catch (error) {
    if (error instanceof NexError) return error;
    throw error;
  }
}

/** Refuses a directory that other users can read or write. */
async function assertOurs(path: string): Promise<void> {
  const { uid, mode } = await stat(path);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw unusable(path, "it belongs to another user");
  }
  if ((mode & 0o077) === 0) return;
  if ((await readdir(path)).length > 0) {
    throw unusable(path, "it holds something, and others may enter it; shut it with: chmod 700");
  }
  await chmod(path, 0o700);
}

function unusable(path: string, why: string, cause?: unknown): NexError {
  return new NexError("state_unusable", `Cannot use the state directory "${path}": ${why}`, {
    cause,
    advice: "Name another one with: --state-directory DIR",
  });
}
