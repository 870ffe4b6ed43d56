/**
 * The accepted bound tokens, until each has expired. None is accepted twice, also not by a node that restarts after a
 * crash.
 *
 * They are lines of append-only files in the state directory. A file is removed when all its tokens have expired. Each
 * start begins a new file, so nothing follows a line that a crash has cut off, and nothing is ever
 * rewritten.
 */
import { closeSync, fdatasync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/errors";
import {
  alreadyUsed,
  type BoundToken,
  boundLifeSecondsMax,
  clockLeewaySeconds,
} from "@nexengine/protocol/tokens";

/** Maximum number of tokens. When it is reached, bound tokens are refused until some have expired. */
const usedTokensMax = 100_000;
/** Maximum number of one issuer's tokens, so that no issuer fills the memory for all. */
const usedTokensOfIssuerMax = 20_000;
/** Longest time for which a token must be remembered, by a clock that nobody sets, in ms. */
const rememberedMsMax = (boundLifeSecondsMax + 2 * clockLeewaySeconds) * 1_000;
/** Maximum number of lines of a file, and maximum time in which lines are added to it. */
const linesMax = 8_192;
const fileTimeMs = 300_000;
/** Minimum interval between two sweeps for expired tokens. */
const sweepMs = 1_000;
const linePattern = /^([A-Za-z0-9_-]{43}) (\d{1,15})(?: ([A-Z2-7]{56}))?$/;

/** An end by two clocks: the wall clock, and one that only runs forward. Both must have passed. */
interface End {
  /** Seconds. */
  until: number;
  /** Expiry by the clock of `performance.now`. */
  untilMs: number;
}

/** A remembered token. */
interface Remembered extends End {
  issuer: string;
}

/** A file of used tokens. It ends with its last token. */
interface Segment extends End {
  path: string;
}

/** The file that is being written. */
interface OpenSegment extends Segment {
  file: number;
  lines: number;
  sinceMs: number;
}

/** Sizes and clocks, for tests. */
export interface UsedTokensOptions {
  max?: number;
  issuerMax?: number;
  now?: () => number;
  /** A clock that nobody sets, in ms. */
  steadyNow?: () => number;
}

export class UsedTokens implements Disposable {
  readonly #directory: string;
  readonly #max: number;
  readonly #issuerMax: number;
  readonly #now: () => number;
  readonly #steadyNow: () => number;
  /** By a token's digest. */
  readonly #tokens = new Map<string, Remembered>();
  readonly #counts = new Map<string, number>();
  #segments: Segment[] = [];
  #open: OpenSegment | undefined;
  #number = 0;
  #sweptAtMs = 0;
  #syncing: Promise<void> | undefined;

  /** @param directory Its tokens are unknown until `read`. */
  constructor(directory: string, options: UsedTokensOptions = {}) {
    const { max = usedTokensMax, issuerMax = usedTokensOfIssuerMax, now = Date.now } = options;
    this.#directory = directory;
    this.#max = max;
    this.#issuerMax = issuerMax;
    this.#now = now;
    this.#steadyNow = options.steadyNow ?? (() => performance.now());
  }

  /**
   * Reads the tokens of a state directory.
   *
   * @throws NexError `state_unusable`: a node that cannot read them would accept them again.
   */
  static async open(directory: string, options: UsedTokensOptions = {}): Promise<UsedTokens> {
    const memory = new UsedTokens(directory, options);
    await memory.read();
    return memory;
  }

  /** Reads the tokens of the directory. @throws NexError `state_unusable` */
  async read(): Promise<void> {
    const directory = this.#directory;
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      for (const name of await readdir(directory)) await this.#readFile(name);
    } catch (cause) {
      throw unusable(`Cannot read the used tokens in "${directory}"`, cause);
    }
    this.#sweep();
  }

  async #readFile(name: string): Promise<void> {
    if (!/^\d{1,15}$/.test(name)) return;
    this.#number = Math.max(this.#number, Number(name));
    const path = join(this.#directory, name);
    let last = 0;
    // The clock may be wrong now, so nothing that was written is forgotten soon.
    const untilMs = this.#steadyNow() + rememberedMsMax;
    for (const line of (await readFile(path, "utf8")).split("\n")) {
      const [, digest, until, issuer = ""] = linePattern.exec(line) ?? [];
      if (digest === undefined) continue;
      this.#keep(digest, { until: Number(until), untilMs, issuer });
      last = Math.max(last, Number(until));
    }
    this.#segments.push({ path, until: last, untilMs });
  }

  #keep(digest: string, remembered: Remembered): void {
    this.#tokens.set(digest, remembered);
    this.#counts.set(remembered.issuer, (this.#counts.get(remembered.issuer) ?? 0) + 1);
  }

  #drop(digest: string, { issuer }: Remembered): void {
    this.#tokens.delete(digest);
    const count = (this.#counts.get(issuer) ?? 1) - 1;
    if (count === 0) this.#counts.delete(issuer);
    else this.#counts.set(issuer, count);
  }

  /** Number of remembered tokens, also expired ones that were not swept yet. */
  get size(): number {
    return this.#tokens.size;
  }

  /** Whether this token was accepted before. */
  has({ digest }: BoundToken): boolean {
    return this.#tokens.has(digest);
  }

  /**
   * Remembers a token in memory and in a file before this returns. Of two copies of a request, only one is
   * remembered; for the other one this throws.
   *
   * @returns when the disk has it. Nothing may start before that.
   * @throws NexError `token_already_used`, `replay_memory_full`, `state_unusable`; then it is not remembered.
   */
  remember(token: BoundToken): Promise<void> {
    if (this.has(token)) throw alreadyUsed();
    this.#sweep();
    if (this.#tokens.size >= this.#max) throw full(this.#max, "used tokens");
    if ((this.#counts.get(token.issuer) ?? 0) >= this.#issuerMax) {
      throw full(this.#issuerMax, "used tokens of this issuer");
    }
    const { digest, until, issuer } = token;
    const lastsMs = Math.max(0, until * 1_000 - this.#now());
    const untilMs = this.#steadyNow() + Math.min(lastsMs, rememberedMsMax);
    this.#write(token, untilMs);
    this.#keep(digest, { until, untilMs, issuer });
    return this.#synced();
  }

  /** Waits until the disk has everything written so far. Concurrent waits share one system call. */
  #synced(): Promise<void> {
    this.#syncing ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#syncing = undefined;
        const file = this.#open?.file;
        if (file === undefined) return resolve();
        fdatasync(file, (error) => {
          // A file that was closed meanwhile was synced when it was closed.
          if (error === null || this.#open?.file !== file) resolve();
          else reject(notWritten(error));
        });
      });
    });
    return this.#syncing;
  }

  #write({ digest, until, issuer }: BoundToken, untilMs: number): void {
    const line = `${digest} ${until} ${issuer}\n`;
    try {
      const segment = this.#segmentFor();
      // Set first, because a part of the line may reach the disk.
      segment.until = Math.max(segment.until, until);
      segment.untilMs = Math.max(segment.untilMs, untilMs);
      segment.lines++;
      if (writeSync(segment.file, line) < line.length) throw new RangeError("the line was written in part");
    } catch (cause) {
      // Nothing may follow a partly written line.
      const empty = this.#open?.lines === 1 ? this.#open.path : undefined;
      this.#close();
      if (empty !== undefined) rmSync(empty, { force: true });
      throw notWritten(cause);
    }
  }

  #segmentFor(): OpenSegment {
    const now = this.#steadyNow();
    const current = this.#open;
    if (current !== undefined && current.lines < linesMax && now - current.sinceMs < fileTimeMs)
      return current;
    this.#close();
    const path = join(this.#directory, String(++this.#number));
    this.#open = { path, until: 0, untilMs: 0, lines: 0, sinceMs: now, file: openSync(path, "ax", 0o600) };
    return this.#open;
  }

  #close(): void {
    if (this.#open === undefined) return;
    const { file, path, until, untilMs } = this.#open;
    this.#open = undefined;
    this.#segments.push({ path, until, untilMs });
    // Synced here, because waiters no longer find this file.
    fdatasyncSync(file);
    closeSync(file);
  }

  /** Forgets expired tokens, and removes files with nothing else. */
  #sweep(): void {
    const steadyMs = this.#steadyNow();
    if (steadyMs - this.#sweptAtMs < sweepMs) return;
    this.#sweptAtMs = steadyMs;
    const nowSeconds = Math.floor(this.#now() / 1000);
    // A clock that was set forward for a moment must not make the node forget.
    const isOver = ({ until, untilMs }: End): boolean => until < nowSeconds && untilMs < steadyMs;
    for (const [digest, remembered] of this.#tokens) if (isOver(remembered)) this.#drop(digest, remembered);
    this.#segments = this.#segments.filter((segment) => {
      if (!isOver(segment)) return true;
      rmSync(segment.path, { force: true });
      return false;
    });
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}

function full(count: number, what: string): NexError {
  return new NexError(
    "replay_memory_full",
    `the node remembers ${count} ${what}, and accepts more once some have expired; try again in a minute`,
  );
}

function notWritten(cause: unknown): NexError {
  return unusable("the node can't write down that the token is used", cause);
}

function unusable(action: string, cause: unknown): NexError {
  return new NexError("state_unusable", `${action}: ${errorText(cause)}`, { cause });
}
