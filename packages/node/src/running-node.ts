/** A node that runs: its heartbeat, and how it ends. */
import { NexError, toNexError } from "@nexengine/protocol/errors";
import type { PingResponse } from "@nexengine/protocol/messages";
import type { Connections } from "./connections/connections.ts";
import type { CompleteNodeOptions } from "./options.ts";
import type { Reporter } from "./telemetry/reporter.ts";
import type { Workloads } from "./workloads/workloads.ts";

/** A running node. */
export interface NexNode extends AsyncDisposable {
  /** `N…` */
  readonly id: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Settles when the node has ended; with the reason where neither `stop` nor an operator asked for it. */
  readonly ended: Promise<NexError | undefined>;
  /** Undeploys everything, says so, and gives all back. Idempotent. */
  stop(): Promise<void>;
}

/** Facts that a running node knows about itself. */
interface Status {
  readonly nodeId: string;
  readonly version: string;
  readonly tags: Readonly<Record<string, string>>;
  lameDuck: boolean;
  ping(workloads: Workloads): PingResponse;
}

/** The parts of a node that runs. */
export interface RunningParts {
  info: Status;
  workloads: Workloads;
  /** Settles when an operator's end of the node has come. */
  drained: Promise<void>;
  reporter: Reporter;
  connection: Connections["own"];
  log: CompleteNodeOptions["log"];
  heartbeatMs: number;
}

export class RunningNode implements NexNode {
  readonly #parts: RunningParts;
  readonly #ended = Promise.withResolvers<NexError | undefined>();
  #resources: AsyncDisposableStack | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: RunningParts) {
    this.#parts = parts;
  }

  /** Owns all that the node holds from now on, and says that it has started. */
  running(resources: AsyncDisposableStack): this {
    const { info, reporter, workloads, drained, connection, heartbeatMs, log } = this.#parts;
    this.#resources = resources;
    const { nodeId } = info;
    this.#heartbeat = setInterval(() => {
      const { node_id, version, nexus, uptime, tags, running_machines } = info.ping(workloads);
      const status = { version, node_id, nexus, uptime, tags, running_machines };
      reporter.tell({ type: "heartbeat", status });
    }, heartbeatMs);
    void connection.closed().then((error) => {
      if (this.#stopping !== undefined) return;
      const why = error === undefined ? "nobody asked for it" : error.message;
      log.error({ reason: why }, "connection to NATS was closed for good");
      void this.#endWith(
        new NexError("connection_failed", `The connection to NATS was closed for good: ${why}`),
      );
    });
    void drained.then(() => this.#endWith(undefined));
    reporter.tell({ type: "node_started", nodeId, version: info.version, tags: info.tags });
    return this;
  }

  get id(): string {
    return this.#parts.info.nodeId;
  }

  get tags(): Readonly<Record<string, string>> {
    return this.#parts.info.tags;
  }

  get ended(): Promise<NexError | undefined> {
    return this.#ended.promise;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop(undefined);
    return this.#stopping;
  }

  /** Ends the node although nobody waits for it; what fails then is logged. */
  async #endWith(reason: NexError | undefined): Promise<void> {
    this.#stopping ??= this.#stop(reason);
    await this.#stopping.catch(() => undefined);
  }

  async #stop(reason: NexError | undefined): Promise<void> {
    const { info, reporter, workloads, log } = this.#parts;
    clearInterval(this.#heartbeat);
    info.lameDuck = true;
    try {
      await workloads.stopAll("Node is stopping");
      reporter.tell({ type: "node_stopped", nodeId: info.nodeId, graceful: reason === undefined });
      await this.#resources?.disposeAsync();
      log.info({ node: info.nodeId }, "node stopped");
      this.#ended.resolve(reason);
    } catch (thrown) {
      const error = toNexError(thrown, "internal", "Cannot stop the node whole");
      log.error({ node: info.nodeId, reason: error.message }, "node stopped, and something of it is left");
      this.#ended.resolve(reason ?? error);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
