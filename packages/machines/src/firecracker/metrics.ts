/** Reads the metrics of a Firecracker for faults of its devices. */
import { chown } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { openFifo } from "../host/fifo.ts";
import { jailNames } from "./layout.ts";

/** Maximum line length, in bytes. Real lines have about 10 KiB; longer ones are discarded. */
const lineBytesMax = 65_536;
/**
 * Counters that are zero for a healthy machine (https://github.com/firecracker-microvm/firecracker, docs/metrics.md).
 */
const faults = [
  ["seccomp", "num_faults"],
  ["vcpu", "failures"],
  ["vmm", "panic_count"],
  ["signals", "sigbus"],
  ["signals", "sigsegv"],
] as const;

/**
 * Fault counters of a machine. Firecracker writes a line of JSON to a FIFO every minute and at exit, with the
 * increments since the previous line. Nothing accumulates while no node reads, and only sums are kept.
 */
export class Metrics {
  readonly #stream: Socket;
  readonly #counts = new Map<string, number>();
  #line = Buffer.alloc(0);

  /** @throws MachineError `attach_failed` if there is no FIFO. */
  constructor(root: string) {
    // Also opened for writing, so that it does not end before Firecracker opens it.
    const fd = openFifo(join(root, jailNames.metrics), "write");
    this.#stream = new Socket({ fd, readable: true, writable: false });
    this.#stream.on("error", () => undefined).on("data", (chunk: Buffer) => this.#add(chunk));
    this.#stream.unref();
  }

  /** Transfers the FIFO in a jail to a user of the host, and opens it. */
  static async handOver(root: string, userId: number): Promise<Metrics> {
    await chown(join(root, jailNames.metrics), userId, userId);
    return new Metrics(root);
  }

  /** Returns the nonzero fault counters as a line for display; empty if there are none. */
  faults(): string {
    const counts = [...this.#counts].filter(([, count]) => count > 0);
    if (counts.length === 0) return "";
    return `[firecracker: ${counts.map(([name, count]) => `${name} ${count}`).join(", ")}]\n`;
  }

  close(): void {
    this.#stream.destroy();
  }

  #add(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#line, chunk]);
    for (let end = bytes.indexOf("\n"); end >= 0; end = bytes.indexOf("\n")) {
      this.#count(bytes.toString("utf8", 0, end));
      bytes = bytes.subarray(end + 1);
    }
    this.#line = bytes.length > lineBytesMax ? Buffer.alloc(0) : bytes;
  }

  #count(line: string): void {
    let told: unknown;
    try {
      told = JSON.parse(line);
    } catch {
      // A partial line, or data that Firecracker did not write.
      return;
    }
    const groups = told as Record<string, Record<string, unknown> | undefined> | null;
    for (const [group, name] of faults) {
      const count = groups?.[group]?.[name];
      if (typeof count !== "number") continue;
      const key = `${group}.${name}`;
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
    }
  }
}
