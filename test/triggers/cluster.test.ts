/** Stream triggers on a cluster of three servers: its leader steps down, is killed, and the quorum is lost. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { headers, type MsgHdrs } from "@nats-io/nats-core";
import { connectNex, type NexClient } from "@nexengine/client";
import type { NatsServer } from "@nexengine/provision";
import { startTestNode } from "@nexengine/testing";
import { eventually, until } from "../../packages/testing/src/observe.ts";
import { Cluster } from "../support/cluster.ts";
import { deploy } from "../support/counting.ts";
import { Told, tellerSource } from "../support/triggered.ts";

const consumer = "nex_default_teller_stream";

/** A function on a replicated stream, and a publisher that waits for each ack of the stream. */
class Bench implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly cluster: Cluster;
  readonly client: NexClient;
  readonly told: Told;
  readonly published: string[] = [];

  private constructor(stack: AsyncDisposableStack, cluster: Cluster, client: NexClient) {
    this.#stack = stack;
    this.cluster = cluster;
    this.client = client;
    this.told = new Told(client.connection);
  }

  static async start(): Promise<Bench> {
    await using stack = new AsyncDisposableStack();
    const cluster = stack.use(await Cluster.start());
    const client = stack.use(await connectNex({ servers: cluster.urls }));
    const manager = await jetstreamManager(client.connection, { checkAPI: false });
    const stream = { name: "ORDERS", subjects: ["orders.>"], num_replicas: 3 };
    await untilDone(() => manager.streams.add(stream));
    stack.use(await startTestNode({ server: cluster.urls.join(",") }));
    await untilDone(async () => {
      await deploy(client, {
        name: "teller",
        artifact: { bytes: Buffer.from(tellerSource("one")) },
        triggerSubjects: [],
        triggers: [{ type: "stream", stream: "ORDERS", ack_wait_ms: 3_000, dead: "drop" }],
        jsDomain: "hub",
        timeoutMs: 10_000,
      });
    });
    return new Bench(stack.move(), cluster, client);
  }

  get manager(): Promise<JetStreamManager> {
    return jetstreamManager(this.client.connection, { checkAPI: false });
  }

  /** Publishes a text, again and again until the stream has it. */
  async publish(text: string): Promise<void> {
    await untilDone(async () => {
      const reply = await this.client.connection.request("orders.new", text, {
        timeout: 1_000,
        headers: idHeader(text),
      });
      if (reply.json<{ error?: unknown }>().error !== undefined) throw new Error("not taken");
    });
    this.published.push(text);
  }

  /** Waits until every published text has been handled. */
  async handled(): Promise<void> {
    await until(() => this.published.every((text) => this.told.of(text).length > 0));
  }

  /** The server that leads the consumer. */
  async leader(): Promise<NatsServer> {
    const name = await eventually(async () => {
      try {
        return (await (await this.manager).consumers.info("ORDERS", consumer)).cluster?.leader;
      } catch {
        return undefined;
      }
    });
    return this.cluster.servers[Number(name.slice(1))] as NatsServer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** A second try of a publisher is no second message. */
function idHeader(text: string): MsgHdrs {
  const made = headers();
  made.set("Nats-Msg-Id", text);
  return made;
}

async function untilDone<T>(work: () => Promise<T>): Promise<T> {
  return await eventually(async () => {
    try {
      return { value: await work() };
    } catch {
      return undefined;
    }
  }).then(({ value }) => value);
}

describe("a stream trigger on a cluster", () => {
  test("goes on when the leader of its consumer steps down, and when it stands still, and when it is killed", async () => {
    await using bench = await Bench.start();
    for (let at = 0; at < 50; at++) await bench.publish(`first ${at}`);
    await bench.handled();
    const { connection } = bench.client;
    await connection.request(`$JS.API.CONSUMER.LEADER.STEPDOWN.ORDERS.${consumer}`, "", { timeout: 5_000 });
    for (let at = 0; at < 50; at++) await bench.publish(`after the step-down ${at}`);
    await bench.handled();
    const leader = await bench.leader();
    process.kill(leader.pid, "SIGSTOP");
    try {
      for (let at = 0; at < 20; at++) await bench.publish(`while its leader stands still ${at}`);
      await bench.handled();
    } finally {
      process.kill(leader.pid, "SIGCONT");
    }
    process.kill((await bench.leader()).pid, "SIGKILL");
    for (let at = 0; at < 30; at++) await bench.publish(`without its leader ${at}`);
    await bench.handled();
    const twice = bench.told.all.length - bench.published.length;
    console.log(`${bench.published.length} messages, ${twice} of them twice`);
  });

  test("waits while there is no quorum, and goes on with it", async () => {
    await using bench = await Bench.start();
    await bench.publish("before");
    await bench.handled();
    const stopped = bench.cluster.servers.slice(1);
    for (const { pid } of stopped) process.kill(pid, "SIGSTOP");
    let isOver = false;
    const publishing = (async () => {
      for (let at = 0; at < 10; at++) await bench.publish(`during ${at}`);
      isOver = true;
    })();
    try {
      // The server that is left finds out, and takes nothing.
      await untilDone(async () => {
        const asked = bench.client.connection.request("orders.new", "probe", { timeout: 300 });
        const taken = await asked.then(
          (reply) => reply.json<{ error?: unknown }>().error === undefined,
          () => false,
        );
        assert.equal(taken, false);
      });
      assert.equal(isOver, false);
    } finally {
      for (const { pid } of stopped) process.kill(pid, "SIGCONT");
    }
    await publishing;
    await bench.handled();
  });
});
