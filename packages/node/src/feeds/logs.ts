/** Publishes the log lines of workloads. */

import type { NatsConnection } from "@nats-io/nats-core";
import { encodeLogLine, type LogLevel, logSubject } from "@nexengine/protocol/internal";
import type { EventWorkload } from "./events.ts";

/** The workload that a line is from. */
export interface LoggingWorkload extends EventWorkload {
  /** Its own limit; the node's when absent. */
  logBytesPerSecond?: number | undefined;
}

/** What a workload has written in a second, and what of it was dropped. */
interface Rate {
  second: number;
  bytes: number;
  dropped: number;
  timer?: NodeJS.Timeout | undefined;
}

const msPerSecond = 1_000;

export class Logs {
  readonly #connection: NatsConnection;
  readonly #nodeId: string;
  readonly #bytesPerSecondMax: number;
  readonly #rates = new Map<string, Rate>();

  constructor(connection: NatsConnection, nodeId: string, bytesPerSecondMax: number) {
    this.#connection = connection;
    this.#nodeId = nodeId;
    this.#bytesPerSecondMax = bytesPerSecondMax;
  }

  /** Publishes a line, unless the workload has written more in this second than it may. */
  line(workload: LoggingWorkload, level: LogLevel, text: string): void {
    const second = Math.floor(Date.now() / 1000);
    const kept = this.#rates.get(workload.id);
    const rate: Rate = kept ?? { second, bytes: 0, dropped: 0 };
    if (kept === undefined) this.#rates.set(workload.id, rate);
    if (rate.second !== second) {
      rate.second = second;
      rate.bytes = 0;
      this.#tellDropped(workload, rate);
    }
    rate.bytes += text.length;
    if (rate.bytes <= (workload.logBytesPerSecond ?? this.#bytesPerSecondMax)) {
      this.#publish(workload, level, text);
      return;
    }
    rate.dropped++;
    // What was dropped is told of also where no further line comes.
    rate.timer ??= setTimeout(() => this.#tellDropped(workload, rate), msPerSecond).unref();
  }

  #tellDropped(workload: LoggingWorkload, rate: Rate): void {
    clearTimeout(rate.timer);
    rate.timer = undefined;
    const { dropped } = rate;
    rate.dropped = 0;
    if (dropped > 0)
      this.#publish(workload, "WARN", `${dropped} log lines were dropped: the workload wrote too fast`);
  }

  /** Forgets what was counted for a workload. */
  forget(workloadId: string): void {
    clearTimeout(this.#rates.get(workloadId)?.timer);
    this.#rates.delete(workloadId);
  }

  #publish(workload: EventWorkload, level: LogLevel, text: string): void {
    if (this.#connection.isClosed()) return;
    const subject = logSubject({
      namespace: workload.namespace,
      nodeId: this.#nodeId,
      workloadName: workload.name,
      workloadId: workload.id,
    });
    this.#connection.publish(subject, encodeLogLine({ text, level, id: workload.id }));
  }
}
