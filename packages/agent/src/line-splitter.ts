/** Cuts what a process writes into log lines. */
import { StringDecoder } from "node:string_decoder";
import { logLineBytesMax } from "@nexengine/protocol/agent";

/** A line that was begun and not ended goes out after this time: a prompt, a progress line. */
const partialLineMs = 200;

export class LineSplitter {
  readonly #emit: (line: string) => void;
  readonly #decoder = new StringDecoder("utf8");
  #partial = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(emit: (line: string) => void) {
    this.#emit = emit;
  }

  push(chunk: Buffer): void {
    const text = this.#partial + this.#decoder.write(chunk);
    const lines = text.split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
    while (this.#partial.length > logLineBytesMax / 4) {
      this.#line(this.#partial.slice(0, logLineBytesMax / 4));
      this.#partial = this.#partial.slice(logLineBytesMax / 4);
    }
    clearTimeout(this.#timer);
    this.#timer =
      this.#partial === "" ? undefined : setTimeout(() => this.#flushPartial(), partialLineMs).unref();
  }

  /** Gives out what is left. */
  end(): void {
    clearTimeout(this.#timer);
    this.#partial += this.#decoder.end();
    this.#flushPartial();
  }

  #flushPartial(): void {
    const rest = this.#partial;
    this.#partial = "";
    if (rest !== "") this.#line(rest);
  }

  #line(line: string): void {
    // A character takes up to four bytes; a quarter of the limit in characters always fits.
    for (let at = 0; at === 0 || at < line.length; at += logLineBytesMax / 4) {
      this.#emit(line.slice(at, at + logLineBytesMax / 4).replace(/\r$/, ""));
    }
  }
}
