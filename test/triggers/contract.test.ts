/**
 * The contract of all kinds of trigger: each starts, calls, pauses and resumes, comes back after a lost connection, shows its state
 * and counters, and stops. Kinds whose messages are stored lose none in between.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import {
  connectNex,
  type Deployment,
  type NexClient,
  type TriggerRequest,
  type TriggerStatus,
} from "@nexengine/client";
import { startTestNatsServer, startTestNode } from "@nexengine/testing";
import { eventually, until } from "../../packages/testing/src/observe.ts";
import { NatsProxy } from "../faults/model/proxy.ts";
import { deploy, issuer } from "../support/counting.ts";
import { jetStreamOf, type Seen, Told, tellerSource } from "../support/triggered.ts";

interface Kind {
  trigger: TriggerRequest;
  /** Makes what the trigger needs. */
  prepare?(client: NexClient): Promise<void>;
  /** Lets one message come, with this text. */
  produce(bench: Bench, text: string): Promise<void>;
  /** Whether a call is about this text; by its payload when absent. */
  isAbout?(seen: Seen, text: string): boolean;
  /** Whether messages wait until they are settled. */
  isStored: boolean;
}

interface Bench {
  client: NexClient;
  told: Told;
  proxy: NatsProxy;
  httpAddress: string;
  deployment: Deployment;
}

const taken = (work: () => Promise<unknown>): Promise<unknown> =>
  eventually(async () => {
    try {
      return (await work()) ?? true;
    } catch {
      return undefined;
    }
  });

const kinds: Record<string, Kind> = {
  subject: {
    trigger: { type: "subject", subject: "contract.subject" },
    isStored: false,
    produce: async ({ client: { connection } }, text) => {
      await taken(() => connection.request("contract.subject", text, { timeout: 10_000 }));
    },
  },
  http: {
    trigger: { type: "http", route: "/contract", auth: "none" },
    isStored: false,
    produce: async ({ httpAddress }, text) => {
      await taken(async () => {
        const { status } = await fetch(`http://${httpAddress}/contract`, { method: "POST", body: text });
        assert.equal(status, 200);
      });
    },
  },
  stream: {
    trigger: { type: "stream", stream: "CONTRACT", ack_wait_ms: 2_000 },
    isStored: true,
    prepare: async (client) => {
      await (await jetStreamOf(client)).streams.add({ name: "CONTRACT", subjects: ["contract.stream"] });
    },
    produce: async ({ client: { connection } }, text) => {
      await connection.request("contract.stream", text);
    },
  },
  kv: {
    trigger: { type: "kv", bucket: "CONTRACT", ack_wait_ms: 2_000 },
    isStored: true,
    prepare: async ({ connection }) => {
      await new Kvm(jetstream(connection)).create("CONTRACT");
    },
    produce: async ({ client: { connection } }, text) => {
      await (await new Kvm(jetstream(connection)).open("CONTRACT")).put(text.replace(" ", "-"), text);
    },
  },
  object: {
    trigger: { type: "object", bucket: "CONTRACT", ack_wait_ms: 2_000 },
    isStored: true,
    prepare: async ({ connection }) => {
      await new Objm(jetstream(connection)).create("CONTRACT");
    },
    produce: async ({ client: { connection } }, text) => {
      await (await new Objm(jetstream(connection)).open("CONTRACT")).putBlob(
        { name: text },
        Buffer.from("x"),
      );
    },
    isAbout: ({ trigger }, text) => (trigger["object"] as { name?: string }).name === text,
  },
  cron: {
    trigger: { type: "cron", schedule: "@yearly", ack_wait_ms: 2_000 },
    isStored: true,
    // A year is long: the tick comes from us.
    produce: async ({ client: { connection } }, text) => {
      await connection.request("$NEX.CRON.TICK.default.teller.cron", text);
    },
  },
};

async function withTrigger(kind: Kind, run: (bench: Bench) => Promise<void>): Promise<void> {
  await using server = await startTestNatsServer();
  await using proxy = await new NatsProxy(Number(new URL(server.url).port)).start();
  await using client = await connectNex({ servers: [server.url] });
  await kind.prepare?.(client);
  const config = { http: { listen: "127.0.0.1:0" } };
  await using node = await startTestNode({ server: proxy.url, config });
  const told = new Told(client.connection);
  const deployment = await deploy(client, {
    ...{ name: "teller", triggerSubjects: [], triggers: [kind.trigger] },
    artifact: { bytes: Buffer.from(tellerSource("one")) },
  });
  await run({ client, told, proxy, deployment, httpAddress: node.httpAddress ?? "" });
}

async function status({ client }: Bench): Promise<TriggerStatus | undefined> {
  return (await client.workloadDetails("teller"))[0]?.nex?.triggers?.[0];
}

async function untilState(bench: Bench, state: string): Promise<TriggerStatus> {
  return await eventually(async () => {
    const found = await status(bench);
    return found?.state === state ? found : undefined;
  });
}

for (const [name, kind] of Object.entries(kinds)) {
  const { isAbout = ({ text }: Seen, wanted: string) => text === wanted } = kind;
  const calls = ({ told }: Bench, text: string): number =>
    told.all.filter((seen) => isAbout(seen, text)).length;

  describe(`a trigger of the kind ${name}`, () => {
    test("calls the function once for each message, and shows what it does", async () => {
      await withTrigger(kind, async (bench) => {
        assert.equal((await untilState(bench, "active")).type, kind.trigger.type);
        for (const text of ["a", "b"]) await kind.produce(bench, text);
        await until(() => calls(bench, "a") === 1 && calls(bench, "b") === 1);
        assert.ok(bench.told.all.every(({ trigger }) => trigger["type"] === kind.trigger.type));
        if (!kind.isStored) return;
        const done = await eventually(async () => {
          const found = await status(bench);
          return found?.acked === 2 ? found : undefined;
        });
        assert.deepEqual([done.received, done.retried, done.dead, done.in_flight], [2, 0, 0, 0]);
      });
    });

    test("calls nothing while it is paused, and goes on where it was", async () => {
      await withTrigger(kind, async (bench) => {
        const { client, deployment } = bench;
        const at = {
          nodeId: deployment.nodeId,
          workloadId: deployment.id,
          name: "teller",
          trigger: name,
          issuer,
        };
        await kind.produce(bench, "before");
        await until(() => calls(bench, "before") === 1);
        assert.equal((await client.pauseTrigger(at)).state, "paused");
        assert.equal((await client.pauseTrigger(at)).state, "paused");
        const waiting = kind.produce(bench, "meanwhile");
        if (kind.isStored) await waiting;
        // A second round trip to the node: whatever it would have taken, it has.
        assert.equal((await status(bench))?.state, "paused");
        assert.equal(calls(bench, "meanwhile"), 0);
        await client.resumeTrigger(at);
        await waiting;
        await until(() => calls(bench, "meanwhile") === 1);
        await untilState(bench, "active");
      });
    });

    test("comes back after the connection of its node was lost", async () => {
      await withTrigger(kind, async (bench) => {
        await kind.produce(bench, "before");
        await until(() => calls(bench, "before") >= 1);
        bench.proxy.set("cut");
        const during = kind.produce(bench, "during");
        if (kind.isStored) await during;
        bench.proxy.set("open");
        await during;
        await until(() => calls(bench, "during") >= 1);
        await kind.produce(bench, "after");
        await until(() => calls(bench, "after") >= 1);
        await untilState(bench, "active");
      });
    });

    test("takes nothing after its function was stopped", async () => {
      await withTrigger(kind, async (bench) => {
        await kind.produce(bench, "before");
        await until(() => calls(bench, "before") === 1);
        const { client, deployment } = bench;
        await client.stop({ nodeId: deployment.nodeId, workloadId: deployment.id, name: "teller", issuer });
        if (kind.isStored) await kind.produce(bench, "later");
        await client.flush();
        assert.equal(bench.told.all.length, 1);
        assert.deepEqual(await client.workloadDetails("teller"), []);
      });
    });
  });
}
