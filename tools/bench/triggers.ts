/**
 * Figures of triggers: `npm run bench -- triggers`. A function that echoes, called by a stream, beside pullers that only
 * acknowledge, in interleaved rounds; medians, and the ratio to the library's `fetch` of the same run.
 */
import type { ChildProcess } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { AckPolicy, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { connectNex, type NexClient } from "../../packages/client/src/mod.ts";
import { createKey, curveKeyOfSeed, signerOfSeed } from "../../packages/protocol/src/mod.ts";
import { startTestNatsServer } from "../../packages/testing/src/nats-server.ts";
import { Cluster, domain } from "../../test/support/cluster.ts";
import { Victim } from "../../test/support/victim.ts";
import { ask, cpuOf, startChild } from "./children.ts";
import { median, quantile, row } from "./support.ts";

const rounds = Number(process.env["NEX_BENCH_ROUNDS"] ?? 5);
const messages = Number(process.env["NEX_BENCH_MESSAGES"] ?? 100_000);
const schedules = Number(process.env["NEX_BENCH_SCHEDULES"] ?? 1_000);
const batch = 512;
const pollMs = 5;
const stream = "BENCH";
const issuer = signerOfSeed(createKey("account").seed);
const publisher = curveKeyOfSeed(createKey("curve").seed);
const kills = Number(process.env["NEX_BENCH_KILLS"] ?? 5);
const stepDownSource = `export default async () => {
  await hostServices.promises.messaging.publish("handled", "");
}`;
const echo = "export default (subject, payload) => payload";

/** Messages a second, and the CPU time of the puller's processes for each. */
interface Sample {
  perSecond: number;
  cpuUs: number;
}

/** Runs the benchmark of triggers. */
export async function benchTriggers(): Promise<void> {
  for (const payloadBytes of [16, 1_024]) await benchStream(payloadBytes);
  await benchKills();
  await benchStepDown();
  await benchSchedules();
}

/** A server with a filled stream, and a node beside it. */
class Bench implements AsyncDisposable {
  readonly stack: AsyncDisposableStack;
  readonly url: string;
  readonly client: NexClient;
  readonly manager: JetStreamManager;
  readonly node: ChildProcess;

  private constructor(
    stack: AsyncDisposableStack,
    parts: { url: string; client: NexClient; manager: JetStreamManager; node: ChildProcess },
  ) {
    this.stack = stack;
    this.url = parts.url;
    this.client = parts.client;
    this.manager = parts.manager;
    this.node = parts.node;
  }

  static async start(): Promise<Bench> {
    await using stack = new AsyncDisposableStack();
    const { url } = stack.use(await startTestNatsServer());
    const client = stack.use(await connectNex({ servers: [url] }));
    const manager = await jetstreamManager(client.connection);
    const node = startChild("functions/node.ts", stack);
    await ask(node, { server: url, sandbox: "process" }, "ready");
    return new Bench(stack.move(), { url, client, manager, node });
  }

  /** The node, and the agents of its machines, which are its children. */
  get pids(): number[] {
    return [this.node.pid as number];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}

async function fill({ connection }: NexClient, payloadBytes: number): Promise<void> {
  const payload = Buffer.alloc(payloadBytes, 120);
  for (let count = 0; count < messages; count++) {
    connection.publish("bench.x", payload);
    if (count % 1_000 === 999) await connection.flush();
  }
  await connection.flush();
}

async function benchStream(payloadBytes: number): Promise<void> {
  await using bench = await Bench.start();
  const { manager, client, url } = bench;
  await manager.streams.add({ name: stream, subjects: ["bench.>"] });
  await fill(client, payloadBytes);
  const filled = async (): Promise<boolean> =>
    (await manager.streams.info(stream)).state.messages === messages;
  while (!(await filled())) await delay(pollMs);
  const puller = startChild("triggers/puller.ts", bench.stack);
  const byPuller = async (kind: "fetch" | "hand", round: number): Promise<Sample> => {
    const consumer = `${kind}-${round}`;
    await manager.consumers.add(stream, {
      durable_name: consumer,
      ack_policy: AckPolicy.Explicit,
      max_ack_pending: 10_000,
    });
    const spec = { kind, stream, consumer, count: messages, batch };
    const asked = ask(puller, { url, spec }, "done");
    const sample = await drained(manager, consumer, [puller.pid as number]);
    await asked;
    return sample;
  };
  const byFunction = async (round: number): Promise<Sample> => {
    const name = `echo-${round}`;
    const deployed = await client.deploy({
      ...{ name, type: "v8", issuer, publisher, artifact: { bytes: Buffer.from(echo) } },
      triggers: [{ type: "stream", stream, from: "all" }],
    });
    const sample = await drained(manager, `nex_default_${name}_stream`, bench.pids);
    await client.stop({ nodeId: deployed.nodeId, workloadId: deployed.id, name, issuer });
    return sample;
  };
  const samples: Record<string, Sample[]> = { fetch: [], hand: [], function: [] };
  for (let round = 0; round < rounds; round++) {
    samples["fetch"]?.push(await byPuller("fetch", round));
    samples["hand"]?.push(await byPuller("hand", round));
    samples["function"]?.push(await byFunction(round));
  }
  const rate = (name: string): number => median((samples[name] ?? []).map(({ perSecond }) => perSecond));
  const cpu = (name: string): number => median((samples[name] ?? []).map(({ cpuUs }) => cpuUs));
  const what = `${messages} messages of ${payloadBytes} B`;
  const show = (name: string, title: string): void =>
    row(
      `${title}, ${what}`,
      `${Math.round(rate(name))}/s (${(rate(name) / rate("fetch")).toFixed(2)}), ${cpu(name).toFixed(1)} µs`,
    );
  show("fetch", `nats.js fetch ${batch}, ack`);
  show("hand", `by hand, ${batch} open, ack`);
  show("function", "stream trigger, echo function");
  row("stream trigger ÷ by hand", (rate("function") / rate("hand")).toFixed(2));
}

/** Waits until a consumer has given and settled all messages, from its first delivery on. */
async function drained(
  manager: JetStreamManager,
  consumer: string,
  pids: readonly number[],
): Promise<Sample> {
  let startedAtMs = 0;
  let before = 0;
  let cpuUs = 0;
  for (;;) {
    const { delivered, ack_floor: floor } = await manager.consumers.info(stream, consumer);
    const nowMs = performance.now();
    if (startedAtMs === 0 && delivered.consumer_seq > 0) {
      startedAtMs = nowMs;
      before = floor.consumer_seq;
      cpuUs = cpuOf(pids);
    }
    if (floor.stream_seq >= messages) {
      const count = messages - before;
      return { perSecond: (count * 1e3) / (nowMs - startedAtMs), cpuUs: (cpuOf(pids) - cpuUs) / count };
    }
    await delay(pollMs);
  }
}

/** Messages while their node is killed again and again: how many are lost, and how many come twice. */
async function benchKills(): Promise<void> {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  const manager = await jetstreamManager(client.connection);
  await manager.streams.add({ name: stream, subjects: ["bench.>"] });
  const handled = new Map<number, number>();
  client.connection.subscribe("handled", {
    callback: (_, message) => {
      const sequence = Number(message.string());
      handled.set(sequence, (handled.get(sequence) ?? 0) + 1);
    },
  });
  await using victim = new Victim({ server: server.url, sandbox: "process", nodeLostTimeoutMs: 10_000 });
  await victim.start();
  const source = `export default async (subject, payload, { trigger }) => {
    await hostServices.promises.messaging.publish("handled", String(trigger.sequence));
  }`;
  await client.deploy({
    ...{ name: "counted", type: "v8", issuer, publisher, artifact: { bytes: Buffer.from(source) } },
    triggers: [{ type: "stream", stream, from: "all", ack_wait_ms: 2_000, attempts: 0 }],
  });
  await fill(client, 16);
  for (let kill = 1; kill <= kills; kill++) {
    while (handled.size < (messages * kill) / (kills + 1)) await delay(pollMs);
    await victim.end("SIGKILL");
    await victim.start();
  }
  const consumer = "nex_default_counted_stream";
  for (;;) {
    const { ack_floor: floor } = await manager.consumers.info(stream, consumer);
    if (floor.stream_seq >= messages) break;
    await delay(100);
  }
  await client.flush();
  let calls = 0;
  for (const count of handled.values()) calls += count;
  const lost = messages - handled.size;
  row(`${messages} messages, ${kills} kills of the node`, `${lost} lost, ${calls - handled.size} came twice`);
}

/** From the moment at which the leader of a consumer steps down to the next message that is handled. */
async function benchStepDown(): Promise<void> {
  await using cluster = await Cluster.start();
  await using client = await connectNex({ servers: cluster.urls });
  const manager = await jetstreamManager(client.connection, { checkAPI: false });
  const ready = async (work: () => Promise<unknown>): Promise<void> => {
    while (
      !(await work().then(
        () => true,
        () => false,
      ))
    )
      await delay(100);
  };
  await ready(() => manager.streams.add({ name: stream, subjects: ["bench.>"], num_replicas: 3 }));
  await using stack = new AsyncDisposableStack();
  const node = startChild("functions/node.ts", stack);
  await ask(node, { server: cluster.urls.join(","), sandbox: "process" }, "ready");
  await ready(() =>
    client.deploy({
      ...{ name: "echo", type: "v8", issuer, publisher, artifact: { bytes: Buffer.from(stepDownSource) } },
      ...{ triggers: [{ type: "stream", stream }], jsDomain: domain },
    }),
  );
  let handledAtMs = 0;
  client.connection.subscribe("handled", {
    callback: () => {
      handledAtMs = performance.now();
    },
  });
  const feeding = setInterval(() => client.connection.publish("bench.x", "x"), 5);
  const gaps: number[] = [];
  for (let round = 0; round < rounds; round++) {
    while (performance.now() - handledAtMs > 50) await delay(pollMs);
    const subject = `$JS.API.CONSUMER.LEADER.STEPDOWN.${stream}.nex_default_echo_stream`;
    let longestMs = 0;
    const startedAtMs = performance.now();
    let lastMs = handledAtMs;
    await client.connection.request(subject, "", { timeout: 5_000 });
    while (performance.now() - startedAtMs < 3_000) {
      await delay(1);
      longestMs = Math.max(longestMs, handledAtMs - lastMs);
      lastMs = handledAtMs;
    }
    gaps.push(longestMs);
  }
  clearInterval(feeding);
  row(
    `longest gap after a step-down of the leader, ${rounds} times, median`,
    `${Math.round(median(gaps))} ms`,
  );
  row("longest gap after a step-down of the leader, worst", `${Math.round(Math.max(...gaps))} ms`);
}

/** Schedules that tick each second: from the planned second to the call. */
async function benchSchedules(): Promise<void> {
  await using bench = await Bench.start();
  const { client } = bench;
  const lags: number[] = [];
  const { connection }: { connection: NatsConnection } = client;
  connection.subscribe("lag", {
    callback: (_, message) => {
      lags.push(Number(message.string()));
    },
  });
  const source = `export default async (subject, payload, { trigger }) => {
    const lag = Date.now() - trigger.plannedMs;
    await hostServices.promises.messaging.publish("lag", String(lag));
  }`;
  // 64 triggers are the most of one function, and one trigger stands for each schedule.
  const perFunction = 50;
  for (let at = 0; at < schedules / perFunction; at++) {
    await client.deploy({
      ...{ name: `ticks-${at}`, type: "v8", issuer, publisher, artifact: { bytes: Buffer.from(source) } },
      triggers: Array.from({ length: perFunction }, (_, place) => ({
        type: "cron",
        schedule: `*/10 * * * * *`,
        name: `s${place}`,
      })),
    });
  }
  lags.length = 0;
  while (lags.length < 5 * schedules) await delay(100);
  row(`${schedules} schedules of 10 s, lag of a tick, median`, `${median(lags)} ms`);
  row(`${schedules} schedules of 10 s, lag of a tick, p99`, `${quantile(lags, 0.99)} ms`);
}
