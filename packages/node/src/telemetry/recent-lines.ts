/** The latest log lines of a workload, for readers who come later. */
import type { LogLevel } from "@nexengine/protocol/messages";

const linesMax = 200;
const charactersMax = 32_768;

/** A kept log line. */
export interface RecentLine {
  time_ms: number;
  level: LogLevel;
  text: string;
}

export class RecentLines {
  readonly #lines: RecentLine[] = [];
  #characters = 0;

  /** Adds a line, and drops the oldest ones beyond the limits. */
  add(line: RecentLine): void {
    this.#lines.push(line);
    this.#characters += line.text.length;
    while (this.#lines.length > linesMax || this.#characters > charactersMax) {
      this.#characters -= this.#lines.shift()?.text.length ?? 0;
    }
  }

  /** The latest lines, the latest last. */
  last(count: number): RecentLine[] {
    return this.#lines.slice(-count);
  }
}
