/** Log lines that are written while there is no node. The next node gets the first of them, and the number of the others. */
import { LogLevel } from "./provider.ts";

/** Maximum size of all kept lines. Each counts a little more than its text, so that empty ones are bounded too. */
const bytesMax = 65_536;
const lineBytes = 64;

/** A line of a log. */
interface Line {
  level: LogLevel;
  text: string;
}

export class UnheardLines {
  #lines: Line[] = [];
  #bytes = 0;
  #lost = 0;

  add(level: LogLevel, text: string): void {
    const bytes = Buffer.byteLength(text) + lineBytes;
    if (this.#lost > 0 || this.#bytes + bytes > bytesMax) {
      this.#lost++;
      return;
    }
    this.#bytes += bytes;
    this.#lines.push({ level, text });
  }

  /** Removes and returns all lines. */
  take(): Line[] {
    const lines = this.#lines;
    if (this.#lost > 0) {
      lines.push({
        level: LogLevel.warn,
        text: `${this.#lost} further lines were written while there was no node, and are lost`,
      });
    }
    this.#lines = [];
    this.#bytes = 0;
    this.#lost = 0;
    return lines;
  }
}
