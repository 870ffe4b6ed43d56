/** Log lines of workloads on NATS: their output, and the facts that their owners should see. */
import type { CallFailure } from "@nexengine/protocol/agent";
import { encodeLogLine, type LogLevel } from "@nexengine/protocol/messages";
import { logSubject, printable } from "@nexengine/protocol/subjects";
import type { Rate, RateShare } from "../budget/rate.ts";
import type { FactHandlers, Listener, ReportedWorkload } from "./facts.ts";
import type { Outlet } from "./outlet.ts";
import { type RecentLine, RecentLines } from "./recent-lines.ts";

/** Output of a workload in the current second. */
interface Written {
  readonly lines: RateShare;
  readonly recent: RecentLines;
  second: number;
  bytes: number;
  dropped: number;
  timer?: NodeJS.Timeout | undefined;
}

const msPerSecond = 1_000;

export class LogFeed implements Listener {
  readonly facts: FactHandlers;
  readonly #outlet: Outlet;
  readonly #nodeId: string;
  readonly #bytesPerSecondMax: number;
  readonly #lines: Rate;
  readonly #written = new Map<string, Written>();

  /** @param lines Rate of lines of all workloads together. */
  constructor(outlet: Outlet, nodeId: string, bytesPerSecondMax: number, lines: Rate) {
    this.#outlet = outlet;
    this.#nodeId = nodeId;
    this.#bytesPerSecondMax = bytesPerSecondMax;
    this.#lines = lines;
    this.facts = {
      workload_deployed: ({ workload }) => this.line(workload, "INFO", `Workload ${workload.name} deployed`),
      workload_adopted: ({ workload, adopted, replicas }) => {
        const where = adopted === replicas ? "its machines" : `${adopted} of ${replicas} machines`;
        this.line(
          workload,
          "INFO",
          `Workload ${workload.name} goes on after a restart of its node, on ${where}`,
        );
      },
      workload_unhealthy: ({ workload, reason }) =>
        this.line(workload, "WARN", `Workload ${workload.name} is unhealthy: ${reason}`),
      workload_healthy: ({ workload }) =>
        this.line(workload, "INFO", `Workload ${workload.name} is healthy again`),
      workload_undeployed: ({ workload, reason }) =>
        this.line(workload, "INFO", `Workload ${workload.name} ended: ${reason}`),
      reply_denied: ({ workload, subject }) => {
        const why = "the node's connection replies to inboxes only (reply_subjects), or a deny list holds it";
        this.line(workload, "WARN", `A reply to "${printable(subject)}" was not sent: ${why}`);
      },
    };
  }

  callFailed(workload: ReportedWorkload, _triggerSubject: string, { text }: CallFailure): void {
    this.line(workload, "ERROR", `Function execution failed: ${text}`);
  }

  /** Publishes a line, unless the workload is over its limit of bytes or lines in this second. */
  line(workload: ReportedWorkload, level: LogLevel, text: string): void {
    const second = Math.floor(Date.now() / msPerSecond);
    const written = this.#of(workload, second);
    if (written.second !== second) {
      written.second = second;
      written.bytes = 0;
      this.#tellDropped(workload, written);
    }
    written.recent.add({ time_ms: Date.now(), level, text });
    written.bytes += Buffer.byteLength(text);
    const bytesMax = workload.logBytesPerSecond ?? this.#bytesPerSecondMax;
    // An empty line is a message too.
    if (written.bytes <= bytesMax && written.lines.take() && this.#publish(workload, level, text)) return;
    written.dropped++;
    // Dropped lines are also reported when no further line comes.
    written.timer ??= setTimeout(() => this.#tellDropped(workload, written), msPerSecond).unref();
  }

  #of({ id }: ReportedWorkload, second: number): Written {
    let written = this.#written.get(id);
    if (written === undefined) {
      written = { lines: this.#lines.share(), recent: new RecentLines(), second, bytes: 0, dropped: 0 };
      this.#written.set(id, written);
    }
    return written;
  }

  #tellDropped(workload: ReportedWorkload, written: Written): void {
    clearTimeout(written.timer);
    written.timer = undefined;
    const { dropped } = written;
    if (dropped === 0) return;
    const text = `${dropped} log lines were dropped: the workload wrote too fast`;
    if (this.#publish(workload, "WARN", text)) written.dropped = 0;
  }

  /** The latest lines of a workload, published or not, the latest last. */
  recent(workloadId: string, count: number): RecentLine[] {
    return this.#written.get(workloadId)?.recent.last(count) ?? [];
  }

  /** Forgets the counts and lines of a workload. */
  forget(workloadId: string): void {
    clearTimeout(this.#written.get(workloadId)?.timer);
    this.#written.delete(workloadId);
  }

  #publish(workload: ReportedWorkload, level: LogLevel, text: string): boolean {
    const subject = logSubject({
      namespace: workload.namespace,
      nodeId: this.#nodeId,
      workloadName: workload.name,
      workloadId: workload.id,
    });
    return this.#outlet.publish(subject, encodeLogLine({ text, level, id: workload.id }));
  }
}
