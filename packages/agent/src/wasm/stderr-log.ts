/** Lines of standard error on their way to the logs. */
import { LogLevel, type ProviderHost } from "../provider.ts";

export class StderrLog {
  readonly #host: ProviderHost;
  #congested = false;
  #dropped = 0;

  constructor(host: ProviderHost) {
    this.#host = host;
  }

  /** A call can't wait for a slow reader, so what comes then is dropped and counted. */
  write(line: string): void {
    if (this.#congested) {
      this.#dropped++;
      return;
    }
    this.#congested = !this.#host.log(LogLevel.error, line);
    if (this.#congested) void this.#host.drained().then(() => this.#resume());
  }

  #resume(): void {
    this.#congested = false;
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0)
      this.#host.log(LogLevel.warn, `${dropped} lines were dropped: they came faster than the node reads`);
  }
}
