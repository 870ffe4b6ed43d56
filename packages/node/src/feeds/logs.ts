/** Publishes the log lines of workloads. */

import type { NatsConnection } from "@nats-io/nats-core";
import { encodeLogLine, type LogLevel, logSubject } from "@nexengine/protocol/internal";
import type { EventWorkload } from "./events.ts";

/** The workload that a line is from. */
export interface LoggingWorkload extends EventWorkload {
  /** Its own limit; the node's when absent. */
  logBytesPerSecond?: number | undefined;
}

export class Logs {
  readonly #connection: NatsConnection;
  readonly #nodeId: string;
  readonly #bytesPerSecondMax: number;
  readonly #rates = new Map<string, { second: number; bytes: number; dropped: number }>();

  constructor(connection: NatsConnection, nodeId: string, bytesPerSecondMax: number) {
    this.#connection = connection;
    this.#nodeId = nodeId;
    this.#bytesPerSecondMax = bytesPerSecondMax;
  }

  /** Publishes a line, unless the workload has written more in this second than it may. */
  line(workload: LoggingWorkload, level: LogLevel, text: string): void {
    const second = Math.floor(Date.now() / 1000);
    const kept = this.#rates.get(workload.id);
    const rate = kept ?? { second, bytes: 0, dropped: 0 };
    if (kept === undefined) this.#rates.set(workload.id, rate);
    if (rate.second !== second) {
      const { dropped } = rate;
      rate.second = second;
      rate.bytes = 0;
      rate.dropped = 0;
      if (dropped > 0)
        this.#publish(workload, "WARN", `${dropped} log lines were dropped: the workload wrote too fast`);
    }
    rate.bytes += text.length;
    if (rate.bytes > (workload.logBytesPerSecond ?? this.#bytesPerSecondMax)) rate.dropped++;
    else this.#publish(workload, level, text);
  }

  /** Forgets what was counted for a workload. */
  forget(workloadId: string): void {
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
