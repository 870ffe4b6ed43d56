/** A node that runs: its heartbeat, and how it ends. */
import { NexError, toNexError } from "@nexengine/protocol/errors";
import type { PingResponse } from "@nexengine/protocol/messages";
import type { Connections } from "./connections/connections.ts";
import { HandOver, type HandOverParts } from "./hand-over/hand-over.ts";
import type { CompleteNodeOptions } from "./options.ts";
import type { Reporter } from "./telemetry/reporter.ts";
import type { Workloads } from "./workloads/workloads.ts";

/** A running node. */
export interface NexNode extends AsyncDisposable {
  /** `N…` */
  readonly id: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Address of its HTTP listener, such as `127.0.0.1:8080`; `undefined` without one. */
  readonly httpAddress: string | undefined;
  /** Its state directory. */
  readonly directory: string;
  /** Settles when the node has ended; with the reason where neither `stop` nor an operator asked for it. */
  readonly ended: Promise<NexError | undefined>;
  /**
   * Begins to hand its work to a successor, which is started with this as its `predecessor`.
   *
   * @throws NexError `hand_over_refused` while another one takes over.
   */
  handOver(): HandOver;
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
  /** Parts that a successor gets. */
  handedOver: Omit<HandOverParts, "end">;
  connection: Connections["own"];
  httpAddress: string | undefined;
  log: CompleteNodeOptions["log"];
  heartbeatMs: number;
}

export class RunningNode implements NexNode {
  readonly #parts: RunningParts;
  readonly #ended = Promise.withResolvers<NexError | undefined>();
  #resources: AsyncDisposableStack | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;
  #handOver: HandOver | undefined;

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

  get httpAddress(): string | undefined {
    return this.#parts.httpAddress;
  }

  get directory(): string {
    return this.#parts.handedOver.directory;
  }

  handOver(): HandOver {
    const { handedOver } = this.#parts;
    if (this.#handOver?.isAborted === false) {
      throw new NexError(
        "hand_over_refused",
        "Cannot hand this node over: another process takes it over already",
      );
    }
    this.#handOver = new HandOver({
      ...handedOver,
      obstacle: () => (this.#stopping === undefined ? handedOver.obstacle() : "it is stopping"),
      end: async (failure) => {
        // Workloads that no successor has taken are the next start's.
        await this.#parts.workloads.handOverAll();
        await this.#endWith(failure);
      },
    });
    return this.#handOver;
  }

  stop(): Promise<void> {
    // Its workloads are the successor's by now.
    if (this.#handOver?.isGivenAway === true) return this.#ended.promise.then(() => undefined);
    this.#handOver?.cancel();
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
    const isHandedOver = this.#handOver?.isFinished === true && reason === undefined;
    clearInterval(this.#heartbeat);
    info.lameDuck = true;
    try {
      await workloads.stopAll("Node is stopping");
      if (!isHandedOver)
        reporter.tell({ type: "node_stopped", nodeId: info.nodeId, graceful: reason === undefined });
      await this.#resources?.disposeAsync();
      log.info({ node: info.nodeId }, isHandedOver ? "node handed over" : "node stopped");
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
