/** Which blocks of our code have run, as V8 counts them. */
import { Session } from "node:inspector/promises";

const ours = /\/packages\/(?:protocol|node|agent)\/src\//;

export class Coverage implements Disposable {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  static async start(): Promise<Coverage> {
    const coverage = new Coverage();
    coverage.#session.connect();
    await coverage.#session.post("Profiler.enable");
    await coverage.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    return coverage;
  }

  /** How many blocks have run at all. */
  get blocks(): number {
    return this.#seen.size;
  }

  /** @returns whether blocks have run since the last time that never had before. */
  async take(): Promise<boolean> {
    const before = this.#seen.size;
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    for (const script of result) {
      if (!ours.test(script.url)) continue;
      for (const { ranges } of script.functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count > 0) this.#seen.add(`${script.scriptId}:${startOffset}:${endOffset}`);
        }
      }
    }
    return this.#seen.size > before;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}
