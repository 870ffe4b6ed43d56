/** Triggers with the permissions of the reference, and nothing beyond them; and while they are lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { connectNex, type NexClient, type TriggerRequest, type TriggerStatus } from "@nexengine/client";
import { type NatsPermissions, natsPermissions } from "@nexengine/protocol/nats";
import { startTestNode } from "@nexengine/testing";
import { eventually, until } from "../../packages/testing/src/observe.ts";
import { deploy } from "../support/counting.ts";
import { ReloadableServer } from "../support/reloadable-server.ts";
import { jetStreamOf, publishAll, settled, Told, tellerSource } from "../support/triggered.ts";

const namespace = "acme";
const scope = {
  namespace,
  subjects: ["orders.>", "told", "$KV.USERS.>"],
  streams: ["ORDERS", "KV_USERS", "OBJ_UPLOADS"],
  inboxPrefix: "_INBOX",
};

function user(name: string, { publish, subscribe, responses }: NatsPermissions): string {
  const answers =
    responses === undefined
      ? ""
      : `, allow_responses: { max: ${responses.max}, expires: "${responses.timeMs}ms" }`;
  return `{ user: ${name}, password: ${name}, permissions: { publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)}${answers} } }`;
}

/**
 * @param without Subjects that the user by whom the node acts may not publish to. Then it may not answer either: an ack is
 *   an answer to the delivery.
 */
function configuration(without: readonly string[] = []): string {
  const workloads = natsPermissions("workloads", scope);
  const publish = workloads.publish.filter((subject) => !without.includes(subject));
  const { responses, ...withoutAnswers } = workloads;
  const rest = without.length > 0 || responses === undefined ? withoutAnswers : workloads;
  const users = [
    user("node", natsPermissions("node", scope)),
    user("workloads", { ...rest, publish }),
    user("issuer", natsPermissions("issuer", scope)),
    "{ user: admin, password: admin }",
  ];
  return `jetstream {}\nauthorization { users: [\n${users.join("\n")}\n] }`;
}

interface Bench extends AsyncDisposable {
  server: ReloadableServer;
  admin: NexClient;
  issuer: NexClient;
  told: Told;
}

async function start(): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await ReloadableServer.start(configuration()));
  const login = (user: string): object => ({ servers: [server.url], user, password: user });
  const admin = stack.use(await connectNex({ ...login("admin"), namespace }));
  const issuer = stack.use(await connectNex({ ...login("issuer"), namespace }));
  const manager = await jetStreamOf(admin);
  await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
  await new Kvm(jetstream(admin.connection)).create("USERS");
  await new Objm(jetstream(admin.connection)).create("UPLOADS");
  stack.use(
    await startTestNode({
      server: server.url,
      login: { user: "node", password: "node" },
      config: {
        namespaces: {
          [namespace]: { connection: { url: server.url, user: "workloads", password: "workloads" } },
        },
      },
    }),
  );
  const held = stack.move();
  return {
    ...{ server, admin, issuer, told: new Told(admin.connection) },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

async function deployAll(issuer: NexClient, triggers: TriggerRequest[]): Promise<void> {
  const artifact = { bytes: Buffer.from(tellerSource("one")) };
  await deploy(issuer, { name: "teller", artifact, triggerSubjects: [], triggers });
}

test("every kind of trigger works with the permissions of the reference", async () => {
  await using bench = await start();
  const { admin, issuer, told } = bench;
  await deployAll(issuer, [
    { type: "stream", stream: "ORDERS", filters: ["orders.new", "orders.paid"] },
    { type: "kv", bucket: "USERS" },
    { type: "object", bucket: "UPLOADS" },
    { type: "cron", schedule: "every 1s", payload: "tick" },
  ]);
  await publishAll(admin, "orders.new", ["a", "never"]);
  await (await new Kvm(jetstream(admin.connection)).open("USERS")).put("u", "b");
  await (await new Objm(jetstream(admin.connection)).open("UPLOADS")).putBlob(
    { name: "o" },
    Buffer.from("c"),
  );
  const types = (): unknown[] => [...new Set(told.all.map(({ trigger }) => trigger["type"]))];
  await until(() => types().length === 4);
  const manager = await jetStreamOf(admin);
  await settled(manager, "ORDERS", "nex_acme_teller_stream");
  const [dead] = await issuer.deadLetters.list();
  assert.equal(Buffer.from(dead?.payload ?? []).toString(), "never");
  await assert.rejects(issuer.deadLetters.retry(dead?.id ?? 0), { code: "function_threw" });
  await issuer.deadLetters.drop(dead?.id ?? 0);
  assert.deepEqual(await issuer.deadLetters.list(), []);
});

test("a trigger without its permission says so, calls nothing again and again, and goes on with it", async () => {
  await using bench = await start();
  const { server, admin, issuer, told } = bench;
  const status = async (): Promise<TriggerStatus | undefined> =>
    (await issuer.workloadDetails("teller"))[0]?.nex?.triggers?.[0];
  const untilState = (state: string): Promise<TriggerStatus> =>
    eventually(async () => {
      const found = await status();
      return found?.state === state ? found : undefined;
    });
  await deployAll(issuer, [{ type: "stream", stream: "ORDERS", attempts: 0, ack_wait_ms: 1_000 }]);
  await publishAll(admin, "orders.new", ["a"]);
  await told.count(1);
  await server.reload(configuration(["$JS.ACK.ORDERS.>"]));
  const texts = Array.from({ length: 20 }, (_, at) => `m${at}`);
  await publishAll(admin, "orders.new", texts);
  const denied = await untilState("unreachable");
  assert.match(denied.problem ?? "", /does not permit the user to publish on \$JS\.ACK\.ORDERS/);
  await server.reload(configuration());
  await settled(await jetStreamOf(admin), "ORDERS", "nex_acme_teller_stream");
  assert.equal((await untilState("active")).problem, undefined);
  for (const text of texts) assert.ok(told.of(text).length > 0, text);
  await server.reload(configuration(["$JS.API.CONSUMER.MSG.NEXT.ORDERS.*"]));
  await publishAll(admin, "orders.new", ["b"]);
  await untilState("unreachable");
  await server.reload(configuration());
  await publishAll(admin, "orders.new", ["c"]);
  await until(() => told.of("b").length > 0 && told.of("c").length > 0);
});
