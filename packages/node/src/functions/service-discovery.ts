/**
 * Functions as NATS services: they answer `$SRV.PING`, `INFO` and `STATS`, so that tools for services list them. Each
 * connection subscribes once for all its functions.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import { parseServiceSubject, type ServiceVerb, serviceSubjects } from "@nexengine/protocol/subjects";
import { unsentBytes } from "../connections/unsent-bytes.ts";
import type { ReplyRules } from "./triggers/reply-rules.ts";
import { repliesUnsentBytesMax } from "./triggers/trigger-connection.ts";

/** Maximum number of requests that wait for their answers; further ones get none. */
const requestsWaitingMax = 64;
/** Time of a turn that answers may take; calls come between. */
const turnMsMax = 2;
/** Time of a second that answers may take. Requests beyond get none: every service of the account gets each. */
const msPerSecondMax = 100;
/** Time after which a refused subscription is tried again, with the next function that starts. */
const deniedMs = 600_000;
/** Characters of the last error. */
const errorCharactersMax = 256;
const msPerSecond = 1_000;

/** One subject of a function. Times are in ns. */
export interface DiscoveredEndpoint {
  name: string;
  subject: string;
  queueGroup: string;
  requests: number;
  errors: number;
  lastError: string;
  runNs: number;
}

/** A function as others may discover it. */
export interface DiscoveredFunction {
  readonly name: string;
  readonly id: string;
  readonly namespace: string;
  readonly nodeId: string;
  readonly type: string;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly startedAtMs: number;
  readonly replies: ReplyRules;
  /** One for each subject trigger. */
  readonly endpoints: readonly DiscoveredEndpoint[];
}

const known = new WeakMap<NatsConnection, ServiceDiscovery>();

/** The discovery of a connection. */
export function discoveryOf(connection: NatsConnection): ServiceDiscovery {
  let found = known.get(connection);
  if (found === undefined) {
    found = new ServiceDiscovery(connection);
    known.set(connection, found);
  }
  return found;
}

class ServiceDiscovery {
  readonly #connection: NatsConnection;
  readonly #functions = new Set<DiscoveredFunction>();
  #subscriptions: Subscription[] = [];
  #deniedAtMs = Number.NEGATIVE_INFINITY;
  readonly #waiting: Msg[] = [];
  #isAnswering = false;
  #second = 0;
  #usedMs = 0;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  /** Lists a function. @returns a function that ends this */
  add(listed: DiscoveredFunction): () => void {
    this.#functions.add(listed);
    if (this.#subscriptions.length === 0) void this.#subscribe();
    return () => {
      this.#functions.delete(listed);
      if (this.#functions.size === 0) this.#unsubscribe();
    };
  }

  /** Without the permission, functions run all the same. One subject is tried first: the server logs each refusal. */
  async #subscribe(): Promise<void> {
    if (performance.now() - this.#deniedAtMs < deniedMs || this.#connection.isClosed()) return;
    const [first, ...others] = serviceSubjects;
    this.#subscriptions = [this.#listen(first)];
    try {
      await this.#connection.flush();
      // The library reports a refusal within the turn in which it reads it.
      await turn();
    } catch {
      // The connection is away. It subscribes again by itself.
    }
    if (this.#subscriptions.length !== 1 || this.#connection.isClosed()) return;
    this.#subscriptions.push(...others.map((subject) => this.#listen(subject)));
  }

  #listen(subject: string): Subscription {
    return this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) this.#take(message);
        else this.#denied();
      },
    });
  }

  #denied(): void {
    this.#deniedAtMs = performance.now();
    this.#unsubscribe();
  }

  #unsubscribe(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
  }

  #take(message: Msg): void {
    if (!message.reply || this.#waiting.length >= requestsWaitingMax) return;
    this.#waiting.push(message);
    if (!this.#isAnswering) void this.#answerAll();
  }

  /** Answers in turns of the loop, so that calls do not wait for a long list. */
  async #answerAll(): Promise<void> {
    this.#isAnswering = true;
    await turn();
    let turnEndsMs = performance.now() + turnMsMax;
    for (let message = this.#waiting.shift(); message !== undefined; message = this.#waiting.shift()) {
      const asked = parseServiceSubject(message.subject);
      const reply = Buffer.from(message.reply ?? "");
      if (asked === undefined) continue;
      for (const listed of [...this.#functions]) {
        if (!isAsked(listed, asked)) continue;
        const beganMs = performance.now();
        if (!this.#hasTime(beganMs)) break;
        this.#answer(listed, asked.verb, reply);
        const nowMs = performance.now();
        this.#usedMs += nowMs - beganMs;
        if (nowMs < turnEndsMs) continue;
        await turn();
        turnEndsMs = performance.now() + turnMsMax;
      }
    }
    this.#isAnswering = false;
  }

  #hasTime(nowMs: number): boolean {
    const second = Math.floor(nowMs / msPerSecond);
    if (second !== this.#second) {
      this.#second = second;
      this.#usedMs = 0;
    }
    return this.#usedMs < msPerSecondMax;
  }

  #answer(listed: DiscoveredFunction, verb: ServiceVerb, reply: Buffer): void {
    if (!this.#functions.has(listed) || !listed.replies.allows(reply, 0, reply.length)) return;
    if (this.#connection.isClosed() || unsentBytes(this.#connection) > repliesUnsentBytesMax) return;
    this.#connection.publish(reply.toString(), JSON.stringify(answerOf(listed, verb)));
  }
}

function isAsked({ name, id }: DiscoveredFunction, asked: { name?: string; id?: string }): boolean {
  return (asked.name ?? name) === name && (asked.id ?? id) === id;
}

/** An answer as the NATS services have it. */
function answerOf(listed: DiscoveredFunction, verb: ServiceVerb): object {
  const { name, id, namespace, nodeId, type, sha256, startedAtMs, endpoints } = listed;
  const identity = {
    type: `io.nats.micro.v1.${verb.toLowerCase()}_response`,
    ...{ name, id, version: `0.0.0+${sha256.slice(0, 12)}` },
    metadata: { namespace, node: nodeId, type },
  };
  if (verb === "PING") return identity;
  if (verb === "INFO") {
    const shown = endpoints.map(({ name, subject, queueGroup }) => ({
      ...{ name, subject, queue_group: queueGroup },
      metadata: {},
    }));
    return { ...identity, description: `Function of Nex in the namespace ${namespace}`, endpoints: shown };
  }
  return { ...identity, started: new Date(startedAtMs).toISOString(), endpoints: endpoints.map(statsOf) };
}

function statsOf(endpoint: DiscoveredEndpoint): object {
  const { name, subject, queueGroup, requests, errors, lastError, runNs } = endpoint;
  return {
    ...{ name, subject, queue_group: queueGroup },
    ...{ num_requests: requests, num_errors: errors, last_error: lastError.slice(0, errorCharactersMax) },
    processing_time: Math.round(runNs),
    average_processing_time: requests === 0 ? 0 : Math.round(runNs / requests),
  };
}
