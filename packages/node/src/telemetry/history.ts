/**
 * Streams that keep logs and events, one of each for a namespace. The node only makes them: what it publishes is the same
 * with and without. A stream is never changed, because its owner may have set it up.
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  StoreCompression,
  type StreamConfig,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { errorText } from "@nexengine/protocol/errors";
import {
  allEventsSubject,
  allLogsSubject,
  eventStreamName,
  logStreamName,
  systemNamespace,
} from "@nexengine/protocol/subjects";
import type { Logger } from "pino";
import type { HistoryConfig } from "../config/history.ts";
import { jetStreamTimeMs } from "../connections/buckets.ts";
import type { FactHandlers, Listener } from "./facts.ts";

const retryFirstMs = 500;
const retryMaxMs = 60_000;
/** Further namespaces have no history. Each stream reserves its maximum size with the server. */
const namespacesMax = 1_000;
/** Error code of JetStream for a stream of that name with another configuration. */
const streamNameInUse = 10_058;
const nsPerHour = 3_600e9;

/** Parts of a stream that is to be there. */
type Wanted = Pick<
  StreamConfig,
  "name" | "description" | "max_age" | "max_bytes" | "max_msgs_per_subject" | "num_replicas"
> & { subject: string };

/** The parts of a configuration that the history follows. */
interface HistoryRules {
  history: HistoryConfig;
  /** By name; `*` stands for all others. */
  namespaces?: Readonly<Record<string, unknown>> | undefined;
}

export class History implements Listener, Disposable {
  readonly facts: FactHandlers;
  readonly #connection: NatsConnection;
  readonly #config: HistoryConfig;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  readonly #namespaces = new Set<string>();
  /** Streams that are being made. */
  readonly #making = new Set<string>();
  #isFull = false;
  #manager: Promise<JetStreamManager> | undefined;

  /**
   * Makes the streams of the nodes and of the namespaces that are configured by name. Those of other namespaces are made with
   * their first workload.
   *
   * @param connection The one on which logs and events are published.
   */
  constructor(connection: NatsConnection, { history, namespaces = {} }: HistoryRules, log: Logger) {
    this.#connection = connection;
    this.#config = history;
    this.#log = log;
    const keepOnce = ({ workload: { namespace } }: { workload: { namespace: string } }): void => {
      if (!this.#namespaces.has(namespace)) this.#keep(namespace);
    };
    this.facts = {
      // A stream that somebody has deleted comes back with the next deploy.
      deploy_accepted: ({ namespace }) => this.#keep(namespace),
      workload_adopted: keepOnce,
      workload_deployed: keepOnce,
    };
    const named = Object.keys(namespaces).filter((name) => name !== "*");
    for (const namespace of [systemNamespace, ...named]) this.#keep(namespace);
  }

  #keep(namespace: string): void {
    const wanted = wantedStreams(this.#config, namespace);
    if (wanted.length === 0) return;
    if (!this.#namespaces.has(namespace) && this.#namespaces.size >= namespacesMax) {
      if (this.#isFull) return;
      this.#isFull = true;
      const reason = `the node keeps the history of ${namespacesMax} namespaces, and of no more`;
      this.#log.error({ namespace, reason }, historyOff);
      return;
    }
    this.#namespaces.add(namespace);
    for (const stream of wanted) {
      if (this.#making.has(stream.name)) continue;
      this.#making.add(stream.name);
      void this.#make(stream).finally(() => this.#making.delete(stream.name));
    }
  }

  /** Makes a stream as soon as the server can. Never rejects, because no deploy waits for it. */
  async #make(wanted: Wanted): Promise<void> {
    const { signal } = this.#stopping;
    const stream = wanted.name;
    let isTold = false;
    for (let delayMs = retryFirstMs; !signal.aborted; delayMs = Math.min(delayMs * 2, retryMaxMs)) {
      try {
        await this.#ensure(wanted);
        if (isTold) this.#log.info({ stream }, "history is kept from now on");
        return;
      } catch (error) {
        this.#manager = undefined;
        if (signal.aborted) return;
        if (!isTold)
          this.#log.error({ stream, reason: errorText(error) }, `${historyOff}; it is tried again`);
        isTold = true;
        await delay(delayMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  async #ensure({ subject, ...config }: Wanted): Promise<void> {
    this.#manager ??= jetstreamManager(this.#connection, { timeout: jetStreamTimeMs, checkAPI: false });
    const { streams } = await this.#manager;
    try {
      await streams.add({
        ...config,
        subjects: [subject],
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        compression: StoreCompression.S2,
        // Readers get messages by number, without a consumer.
        allow_direct: true,
      });
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || error.code !== streamNameInUse) throw error;
      const found = await streams.info(config.name);
      const subjects = found.config.subjects ?? [];
      // Two names of namespaces can have one name of a stream.
      if (!subjects.includes(subject)) {
        this.#log.error(
          { stream: config.name, reason: `a stream of this name has other subjects than ${subject}` },
          historyOff,
        );
      }
    }
  }

  [Symbol.dispose](): void {
    this.#stopping.abort();
  }
}

const historyOff = "history is off: a stream of logs or events can't be had";

function wantedStreams({ logs, events }: HistoryConfig, namespace: string): Wanted[] {
  const wanted: Wanted[] = [];
  if (logs !== undefined) {
    wanted.push({
      name: logStreamName(namespace),
      subject: allLogsSubject(namespace),
      description: `Logs of the namespace ${namespace}`,
      max_msgs_per_subject: logs.max_lines_per_workload,
      ...limitsOf(logs),
    });
  }
  if (events !== undefined) {
    wanted.push({
      name: eventStreamName(namespace),
      subject: allEventsSubject(namespace),
      description: `Events of the namespace ${namespace}`,
      max_msgs_per_subject: events.max_per_type,
      ...limitsOf(events),
    });
  }
  return wanted;
}

function limitsOf(config: {
  max_age_hours: number;
  max_bytes: number;
  replicas: number;
}): Pick<Wanted, "max_age" | "max_bytes" | "num_replicas"> {
  return {
    max_age: config.max_age_hours * nsPerHour,
    max_bytes: config.max_bytes,
    num_replicas: config.replicas,
  };
}
