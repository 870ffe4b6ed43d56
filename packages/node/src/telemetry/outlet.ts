/** The outlet of feeds: a connection with a bounded number of unsent bytes. */
import type { NatsConnection } from "@nats-io/nats-core";
import type { Logger } from "pino";
import { unsentBytes } from "../connections/unsent-bytes.ts";

/** Interval at which dropped messages are reported, in ms. */
const reportMs = 1_000;

export class Outlet implements Disposable {
  readonly #connection: NatsConnection;
  readonly #unsentBytesMax: number;
  readonly #log: Logger;
  #dropped = 0;
  #reported = 0;
  #report: NodeJS.Timeout | undefined;

  /** @param unsentBytesMax Above it, messages are dropped: the server does not read, or is gone. */
  constructor(connection: NatsConnection, unsentBytesMax: number, log: Logger) {
    this.#connection = connection;
    this.#unsentBytesMax = unsentBytesMax;
    this.#log = log;
  }

  /** Number of dropped messages. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Publishes a message. @returns false when it was dropped. */
  publish(subject: string, bytes: Uint8Array): boolean {
    if (this.#connection.isClosed()) return false;
    if (unsentBytes(this.#connection) + bytes.length > this.#unsentBytesMax) {
      this.#dropped++;
      this.#report ??= setTimeout(() => this.#tell(), reportMs).unref();
      return false;
    }
    this.#connection.publish(subject, bytes);
    return true;
  }

  #tell(): void {
    this.#report = undefined;
    const messages = this.#dropped - this.#reported;
    this.#reported = this.#dropped;
    this.#log.warn(
      { messages, dropped: this.#dropped },
      "events or logs were dropped: the NATS server takes no more",
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#report);
  }
}
