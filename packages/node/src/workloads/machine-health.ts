/** Health of one machine: checks at an interval, one at a time, and a verdict after some failures in a row. */
import { NexError } from "@nexengine/protocol/errors";
import type { Share } from "../budget/quota.ts";

/** Times of a health check, complete. */
export interface HealthTimes {
  intervalMs: number;
  timeoutMs: number;
  /** Number of failures in a row after which the machine is unhealthy. */
  threshold: number;
  /** Time for the first check to pass. */
  startMs: number;
}

/**
 * Result of one check: it passed, it failed for a reason, or it was skipped, because something other than the machine
 * prevents it. A skipped check counts neither way.
 */
export type CheckResult = { is: "passed" } | { is: "failed" | "skipped"; reason: string };

/** Carries out one check. A check ends early, with any result, when its signal aborts. It never rejects. */
export type Check = (signal: AbortSignal) => Promise<CheckResult>;

/** Listeners of a machine's health. */
export interface HealthEvents {
  /** A check has passed, for the first time or after a failure. */
  passed(): void;
  /** Too many checks in a row have failed. No further check follows. */
  unhealthy(reason: string): void;
}

/**
 * - `starting`: no check has passed.
 * - `watched`: the first check has passed, or an earlier node has seen it pass.
 * - `over`: no further check follows.
 */
type HealthState = "starting" | "watched" | "over";

/** Delays between checks of a machine that starts: from the first to the largest, doubled each time. */
const startDelayMsMin = 50;
const startDelayMsMax = 1_000;
/** Delay until another try when the node has too many checks at once. */
const slotDelayMs = 50;

export class MachineHealth {
  readonly #times: HealthTimes;
  readonly #check: Check;
  readonly #slots: Share;
  readonly #events: HealthEvents;
  readonly #over = new AbortController();
  #state: HealthState = "starting";
  #failures = 0;
  #lastFailure = "";
  #timer: NodeJS.Timeout | undefined;

  /** @param slots The workload's share of the checks that the node carries out at once. */
  constructor(times: HealthTimes, check: Check, slots: Share, events: HealthEvents) {
    this.#times = times;
    this.#check = check;
    this.#slots = slots;
    this.#events = events;
  }

  /** Whether the machine counts as healthy: it has passed a check, and not failed too often since. */
  get isHealthy(): boolean {
    return this.#state === "watched";
  }

  /** The failures in a row, for people; `undefined` when the last check passed. */
  get trouble(): string | undefined {
    if (this.#failures === 0 || this.#state !== "watched") return undefined;
    return `health check failed ${this.#failures} of ${this.#times.threshold} times: ${this.#lastFailure}`;
  }

  /**
   * Waits until a check passes, and goes on with checks at the interval.
   *
   * @throws NexError `workload_not_ready` when none has passed within the start time, or it was ended before
   */
  async ready(): Promise<void> {
    const { startMs } = this.#times;
    const late = new AbortController();
    const timer = setTimeout(() => afterInput(() => late.abort()), startMs);
    const signal = AbortSignal.any([late.signal, this.#over.signal]);
    try {
      for (let delayMs = startDelayMsMin; ; delayMs = Math.min(delayMs * 2, startDelayMsMax)) {
        const result = await this.#once(signal);
        if (this.#state === "over") throw notReady(String(this.#over.signal.reason));
        if (result.is === "passed") break;
        // The abort of the last check says less than the failure before it.
        if (!late.signal.aborted || this.#lastFailure === "") this.#lastFailure = result.reason;
        if (late.signal.aborted) {
          throw notReady(`its health check did not pass within ${startMs} ms: ${this.#lastFailure}`);
        }
        await pause(Math.min(delayMs, this.#times.intervalMs), signal);
      }
    } finally {
      clearTimeout(timer);
    }
    this.watch(this.#times.intervalMs);
    this.#events.passed();
  }

  /** Checks at the interval. @param firstMs Time until the next check. */
  watch(firstMs: number): void {
    if (this.#state === "over") return;
    this.#state = "watched";
    this.#lastFailure = "";
    this.#schedule(firstMs);
  }

  /** Ends the checks. @param why For whoever waits until the machine is ready. */
  end(why: string): void {
    this.#state = "over";
    clearTimeout(this.#timer);
    this.#over.abort(why);
  }

  #schedule(delayMs: number): void {
    this.#timer = setTimeout(() => void this.#watchOnce(), delayMs);
  }

  async #watchOnce(): Promise<void> {
    const { intervalMs, threshold } = this.#times;
    const beganMs = performance.now();
    const result = await this.#once(this.#over.signal);
    if (this.#state === "over") return;
    if (result.is === "passed") {
      const hadFailed = this.#failures > 0;
      this.#failures = 0;
      if (hadFailed) this.#events.passed();
    } else if (result.is === "failed") {
      this.#failures++;
      this.#lastFailure = result.reason;
      if (this.#failures >= threshold) {
        this.end("it is unhealthy");
        const times = threshold === 1 ? "once" : `${threshold} times`;
        this.#events.unhealthy(`health check failed ${times}: ${result.reason}`);
        return;
      }
    }
    this.#schedule(Math.max(0, intervalMs - (performance.now() - beganMs)));
  }

  /** One check, in a slot, with its timeout. */
  async #once(signal: AbortSignal): Promise<CheckResult> {
    while (!signal.aborted && !this.#slots.take(1)) await pause(slotDelayMs, signal);
    if (signal.aborted) return { is: "skipped", reason: "the node carries out too many health checks" };
    const { timeoutMs } = this.#times;
    const late = Promise.withResolvers<CheckResult>();
    const ending = new AbortController();
    const end = (reason: string): void => {
      ending.abort();
      // After the check's own result, which can say more.
      setImmediate(() => late.resolve({ is: "failed", reason }));
    };
    const endEarly = (): void => end("no answer so far");
    const timer = setTimeout(() => afterInput(() => end(`no answer within ${timeoutMs} ms`)), timeoutMs);
    signal.addEventListener("abort", endEarly, { once: true });
    try {
      return await Promise.race([this.#check(ending.signal), late.promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", endEarly);
      this.#slots.give(1);
    }
  }
}

/** Runs after input that has arrived is read: timers run before sockets, so a node that stood still would be unfair. */
function afterInput(work: () => void): void {
  setImmediate(() => setImmediate(work));
}

/** Waits, or until the signal aborts. */
function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal.addEventListener("abort", done, { once: true });
  });
}

function notReady(why: string): NexError {
  return new NexError("workload_not_ready", `Failed to deploy workload: ${why}`);
}
