import { chown } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { openFifo } from "../host/fifo.ts";
import { jailNames } from "./layout.ts";

/** A line of metrics has some 10 KiB; a longer one is none. */
const lineBytesMax = 65_536;
/** What is zero of a machine that is well, by group and name: https://github.com/firecracker-microvm/firecracker, docs/metrics.md. */
const faults = [
  ["seccomp", "num_faults"],
  ["vcpu", "failures"],
  ["vmm", "panic_count"],
  ["signals", "sigbus"],
  ["signals", "sigsegv"],
] as const;

/**
 * What Firecracker counts of a machine. It writes a line of JSON once a minute and at its end, each with what has come
 * since the former one, into a FIFO: so nothing grows while no node reads, and of what is read only sums are kept.
 */
export class Metrics {
  readonly #stream: Socket;
  readonly #counts = new Map<string, number>();
  #line = Buffer.alloc(0);

  /** @throws MachineError `attach_failed` when there is no FIFO. */
  constructor(root: string) {
    // Also as a writer, so that it does not end before Firecracker has opened it.
    const fd = openFifo(join(root, jailNames.metrics), "write");
    this.#stream = new Socket({ fd, readable: true, writable: false });
    this.#stream.on("error", () => undefined).on("data", (chunk: Buffer) => this.#add(chunk));
    this.#stream.unref();
  }

  /** Gives the FIFO in a jail to a user of the host, and opens it. */
  static async handOver(root: string, userId: number): Promise<Metrics> {
    await chown(join(root, jailNames.metrics), userId, userId);
    return new Metrics(root);
  }

  /** What has gone wrong, a line for people; nothing where all is well. */
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
      // Half of a line, or something that Firecracker did not write.
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
