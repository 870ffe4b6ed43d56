/** Whether a service that was just deployed stays up for a moment, and what it wrote when it does not. */
import type { Deployment, EventEntry, Feed, LogEntry, NexClient } from "@nexengine/client";
import { Bell } from "./interruption.ts";

/** Lines that are kept for each workload, and workloads that they are kept for. */
const linesMax = 10;
const workloadsMax = 64;

/** How a workload ended, or why it is being restarted, soon after its start. */
export interface EarlyEnd {
  /** Follows its name: `ended with status 3`. */
  how: string;
  /** Its node starts it again. */
  restarts: boolean;
  /** The last lines that it wrote. */
  lines: readonly string[];
}

/** Begins to listen before the deploy, so that nothing is missed. Without the permission to listen, INFO tells alone. */
export class StartWatch implements AsyncDisposable {
  readonly #client: NexClient;
  readonly #name: string;
  readonly #stop = new AbortController();
  readonly #bell = new Bell();
  readonly #lines = new Map<string, string[]>();
  readonly #ends = new Map<string, Omit<EarlyEnd, "lines">>();

  private constructor(client: NexClient, name: string) {
    this.#client = client;
    this.#name = name;
  }

  /** Listens; when this returns, the server knows. */
  static async open(client: NexClient, name: string): Promise<StartWatch> {
    const watch = new StartWatch(client, name);
    const { signal } = watch.#stop;
    void watch.#readLogs(client.logs({ workloadName: name, signal })).catch(() => undefined);
    void watch.#readEvents(client.events({ signal })).catch(() => undefined);
    await client.flush();
    return watch;
  }

  async #readLogs(feed: Feed<LogEntry>): Promise<void> {
    for await (const { workloadId, text } of feed) {
      if (this.#isOfNode(text)) continue;
      const lines = entryOf(this.#lines, workloadId, () => []);
      lines?.push(text);
      if (lines !== undefined && lines.length > linesMax) lines.shift();
    }
  }

  /** The node's own words among the lines of the workload. */
  #isOfNode(text: string): boolean {
    return text === `Workload ${this.#name} deployed` || text.startsWith(`Workload ${this.#name} ended: `);
  }

  async #readEvents(feed: Feed<EventEntry>): Promise<void> {
    for await (const { type, event } of feed) {
      if (type !== "workload_undeployed" && type !== "workload_restarting") continue;
      const { data = {}, source = "" } = event;
      const id = String(data["vmid"] ?? source.split("-").at(-1));
      const restarts = type === "workload_restarting";
      const end = { how: describeEnd(data["code"], String(data["reason"] ?? "")), restarts };
      entryOf(this.#ends, id, () => end);
      this.#bell.ring();
    }
  }

  /** Waits for the moment, or until the workload has ended. @returns `undefined` when it runs then. */
  async outcome({ id, nodeId }: Deployment, momentMs: number): Promise<EarlyEnd | undefined> {
    const untilMs = Date.now() + momentMs;
    for (;;) {
      const end = this.#ends.get(id);
      if (end !== undefined) return { ...end, lines: this.#lines.get(id) ?? [] };
      const leftMs = untilMs - Date.now();
      if (leftMs <= 0) break;
      await this.#bell.wait(leftMs);
    }
    // Events can be lost, or not permitted.
    const info = await this.#client.info(nodeId).catch(() => undefined);
    const machine = info?.machines.find((one) => one.id === id);
    if (info === undefined || machine?.healthy === true) return undefined;
    const lines = this.#lines.get(id) ?? [];
    return machine === undefined
      ? { how: "has ended", restarts: false, lines }
      : { how: "is being restarted", restarts: true, lines };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
  }
}

/** The entry of a bounded map, made when it is missing. */
function entryOf<T>(map: Map<string, T>, key: string, make: () => T): T | undefined {
  if (!map.has(key) && map.size < workloadsMax) map.set(key, make());
  return map.get(key);
}

/** @param code The exit status; below 0 where the reason alone tells. */
function describeEnd(code: unknown, reason: string): string {
  if (typeof code === "number" && code >= 0) return `ended with status ${code}`;
  const status = /^exited with status (\d+)/.exec(reason)?.[1];
  if (status !== undefined) return `ended with status ${status}`;
  if (reason === "out of memory") return "ran out of memory";
  const signal = /\((SIG[A-Z0-9]+)\)$/.exec(reason)?.[1];
  return signal === undefined ? `ended: ${reason}` : `was ended by ${signal}`;
}
