/**
 * The bound tokens that were accepted, until each has expired, so that none is accepted twice; also not by a node that
 * has come back after a crash.
 *
 * They stand in the state directory as lines of files that are only added to. A file goes when all in it have expired,
 * and a node that starts begins a new one: so a line that a crash has torn is never followed by another, and nothing
 * is ever written anew.
 */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { alreadyUsed, type BoundToken, errorText, NexError } from "@nexengine/protocol/internal";

/** So many tokens are remembered; then no bound ones are accepted until some have expired. */
export const usedTokensMax = 100_000;
/** A file takes so many lines, and is added to for so long. */
const linesMax = 8_192;
const fileTimeMs = 300_000;
/** Expired ones are looked for at most so often. */
const sweepMs = 1_000;
const linePattern = /^([A-Za-z0-9_-]{43}) (\d{1,15})$/;

/** A file of used tokens. */
interface Segment {
  path: string;
  /** Seconds; then all in it have expired. */
  until: number;
}

/** The file that is added to. */
interface OpenSegment extends Segment {
  file: number;
  lines: number;
  sinceMs: number;
}

/** How the memory can be told a size and a clock of a test's own. */
export interface UsedTokensOptions {
  max?: number;
  now?: () => number;
}

export class UsedTokens implements Disposable {
  readonly #directory: string;
  readonly #max: number;
  readonly #now: () => number;
  /** From a token's digest to the second of its end. */
  readonly #tokens = new Map<string, number>();
  #segments: Segment[] = [];
  #open: OpenSegment | undefined;
  #number = 0;
  #sweptAtMs = 0;

  private constructor(directory: string, { max = usedTokensMax, now = Date.now }: UsedTokensOptions) {
    this.#directory = directory;
    this.#max = max;
    this.#now = now;
  }

  /**
   * Reads what a state directory remembers.
   *
   * @throws NexError `state_unusable`: a node that can't read it would accept again what it has accepted.
   */
  static async open(directory: string, options: UsedTokensOptions = {}): Promise<UsedTokens> {
    const memory = new UsedTokens(directory, options);
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      for (const name of await readdir(directory)) await memory.#read(name);
    } catch (cause) {
      throw unusable(`Cannot read the used tokens in "${directory}"`, cause);
    }
    memory.#sweep();
    return memory;
  }

  async #read(name: string): Promise<void> {
    if (!/^\d{1,15}$/.test(name)) return;
    this.#number = Math.max(this.#number, Number(name));
    const path = join(this.#directory, name);
    let last = 0;
    for (const line of (await readFile(path, "utf8")).split("\n")) {
      const [, digest, until] = linePattern.exec(line) ?? [];
      if (digest === undefined) continue;
      this.#tokens.set(digest, Number(until));
      last = Math.max(last, Number(until));
    }
    this.#segments.push({ path, until: last });
  }

  /** How many are remembered, those included that have expired and were not forgotten yet. */
  get size(): number {
    return this.#tokens.size;
  }

  /** Was this token accepted before? */
  has({ digest }: BoundToken): boolean {
    return this.#tokens.has(digest);
  }

  /**
   * Remembers a token, in memory and on the disk, before this returns: of two copies that come together one is
   * remembered, and the other one's `remember` throws.
   *
   * @throws NexError `token_already_used`, `replay_memory_full`, `state_unusable`; then it is not remembered.
   */
  remember(token: BoundToken): void {
    if (this.has(token)) throw alreadyUsed();
    this.#sweep();
    if (this.#tokens.size >= this.#max) {
      throw new NexError(
        "replay_memory_full",
        `the node remembers ${this.#max} used tokens, and accepts more once some have expired; try again in a minute`,
      );
    }
    this.#write(token);
    this.#tokens.set(token.digest, token.until);
  }

  #write({ digest, until }: BoundToken): void {
    const line = `${digest} ${until}\n`;
    try {
      const segment = this.#segmentFor();
      // Until then, even if a part of the line is all that gets to the disk.
      segment.until = Math.max(segment.until, until);
      segment.lines++;
      if (writeSync(segment.file, line) < line.length) throw new RangeError("the line was written in part");
    } catch (cause) {
      // What was written in part must not be followed by anything.
      const empty = this.#open?.lines === 1 ? this.#open.path : undefined;
      this.#close();
      if (empty !== undefined) rmSync(empty, { force: true });
      throw unusable("the node can't write down that the token is used", cause);
    }
  }

  #segmentFor(): OpenSegment {
    const now = this.#now();
    const current = this.#open;
    if (current !== undefined && current.lines < linesMax && now - current.sinceMs < fileTimeMs)
      return current;
    this.#close();
    const path = join(this.#directory, String(++this.#number));
    this.#open = { path, until: 0, lines: 0, sinceMs: now, file: openSync(path, "ax", 0o600) };
    return this.#open;
  }

  #close(): void {
    if (this.#open === undefined) return;
    const { file, path, until } = this.#open;
    this.#open = undefined;
    this.#segments.push({ path, until });
    closeSync(file);
  }

  /** Forgets what has expired, and removes the files that hold nothing else. */
  #sweep(): void {
    const nowMs = this.#now();
    if (nowMs - this.#sweptAtMs < sweepMs) return;
    this.#sweptAtMs = nowMs;
    const isOver = (until: number): boolean => until < Math.floor(nowMs / 1000);
    for (const [digest, until] of this.#tokens) if (isOver(until)) this.#tokens.delete(digest);
    this.#segments = this.#segments.filter(({ path, until }) => {
      if (!isOver(until)) return true;
      rmSync(path, { force: true });
      return false;
    });
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}

function unusable(action: string, cause: unknown): NexError {
  return new NexError("state_unusable", `${action}: ${errorText(cause)}`, { cause });
}
