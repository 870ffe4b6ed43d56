/** Nodes keep logs and events in streams of their namespace, and issuers read them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connectNex, type NexClient } from "@nexengine/client";
import { type NatsPermissions, natsPermissions } from "@nexengine/protocol/nats";
import {
  probeService,
  startTestNatsServer,
  startTestNexus,
  startTestNode,
  type TestNexus,
} from "@nexengine/testing";
import { pino } from "pino";
import { eventually, until } from "../packages/testing/src/observe.ts";
import { deploy as deployTo } from "./support/counting.ts";

const withoutProbe = (await probeService()) === undefined ? "no C compiler builds the probe here" : false;
const history = { logs: true, events: true } as const;

const managerOf = ({ connection }: NexClient): Promise<JetStreamManager> =>
  jetstreamManager(connection, { checkAPI: false });

async function streamNames(client: NexClient): Promise<string[]> {
  const names: string[] = [];
  for await (const name of (await managerOf(client)).streams.names()) names.push(name);
  return names.filter((name) => /^NEX_(LOGS|EVENTS)_/.test(name)).sort();
}

/** Waits until a namespace has its streams. */
async function kept(client: NexClient, namespace: string): Promise<void> {
  const wanted = [`NEX_EVENTS_${namespace}`, `NEX_LOGS_${namespace}`];
  await eventually(async () => {
    const names = await streamNames(client);
    return wanted.every((name) => names.includes(name)) ? true : undefined;
  });
}

async function textsOf(client: NexClient, options = {}): Promise<string[]> {
  const entries = await Array.fromAsync(await client.logHistory(options));
  return entries.map(({ text }) => text);
}

/** Waits for a line in the history. */
async function untilLine(client: NexClient, wanted: string): Promise<void> {
  await eventually(async () => ((await textsOf(client)).includes(wanted) ? true : undefined));
}

const sayer = "(subject, payload) => { console.log(new TextDecoder().decode(payload)); return 'said'; }";

/** A logger, and the lines that it was told. */
function recorded(): { log: pino.Logger; lines: { msg: string; stream?: string; reason?: string }[] } {
  const lines: { msg: string; stream?: string; reason?: string }[] = [];
  const log = pino({ level: "info" }, { write: (text: string) => void lines.push(JSON.parse(text)) });
  return { log, lines };
}

test("a node makes the streams of the nodes at once, and those of a namespace with its first workload", async () => {
  await using nexus = await startTestNexus({ config: { history } });
  await kept(nexus.client, "system");
  assert.deepEqual(await streamNames(nexus.client), ["NEX_EVENTS_system", "NEX_LOGS_system"]);
  await nexus.function(sayer, { name: "say" });
  await kept(nexus.client, "default");
  const { streams } = await managerOf(nexus.client);
  const { config: logs } = await streams.info("NEX_LOGS_default");
  assert.deepEqual(logs.subjects, ["$NEX.logs.default.>"]);
  assert.deepEqual(
    [logs.max_age, logs.max_bytes, logs.max_msgs_per_subject, logs.compression, logs.num_replicas],
    [7 * 86_400e9, 2 ** 30, 10_000, "s2", 1],
  );
  const { config: events } = await streams.info("NEX_EVENTS_default");
  assert.deepEqual([events.subjects, events.max_age], [["$NEX.events.default.>"], 30 * 86_400e9]);
  await nexus.call("say", "kept");
  await untilLine(nexus.client, "kept");
  await nexus.stop(await nexus.function(sayer, { name: "short" }));
  await eventually(async () => {
    const found = await Array.fromAsync(await nexus.client.eventHistory());
    return found.some(({ type }) => type === "workload_undeployed") ? true : undefined;
  });
});

test("namespaces whose names differ in case have streams of their own", async () => {
  await using nexus = await startTestNexus({ config: { history } });
  for (const namespace of ["acme", "ACME"]) {
    await using client = nexus.inNamespace(namespace);
    await client.deploy({
      ...{ name: "say", type: "v8", artifact: { bytes: Buffer.from(sayer) } },
      ...{ issuer: nexus.issuer, publisher: nexus.publisher, triggerSubjects: [`${namespace}.say`] },
    });
    await kept(client, namespace);
    await client.call(`${namespace}.say`, `by ${namespace}`);
    await untilLine(client, `by ${namespace}`);
  }
  for (const namespace of ["acme", "ACME"]) {
    const texts = await textsOf(nexus.inNamespace(namespace), { workload: "say" });
    assert.deepEqual(
      texts.filter((text) => text.startsWith("by ")),
      [`by ${namespace}`],
    );
  }
});

test("a node keeps no history unless it is told to, and leaves a stream as its owner has made it", async () => {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  const { streams } = await managerOf(client);
  await streams.add({ name: "NEX_LOGS_default", subjects: ["$NEX.logs.default.>"], max_msgs: 5 });
  await streams.add({ name: "NEX_EVENTS_default", subjects: ["$NEX.events.elsewhere.>"] });
  const { log, lines } = recorded();
  const deploy = async (name: string): Promise<void> => {
    const artifact = { bytes: Buffer.from(sayer) };
    await deployTo(client, { name, artifact, triggerSubjects: [name] });
  };
  {
    await using node = await startTestNode({ server: server.url });
    await deploy("one");
    assert.ok(node.id !== "");
  }
  assert.deepEqual(await streamNames(client), ["NEX_EVENTS_default", "NEX_LOGS_default"]);
  await using node = await startTestNode({ server: server.url, config: { history }, log });
  await deploy("two");
  await until(() => lines.some(({ stream }) => stream === "NEX_EVENTS_default"));
  assert.match(
    lines.find(({ stream }) => stream === "NEX_EVENTS_default")?.reason ?? "",
    /has other subjects than \$NEX\.events\.default\.>/,
  );
  const { config } = await streams.info("NEX_LOGS_default");
  assert.deepEqual([config.max_msgs, config.compression], [5, "none"]);
  assert.ok(!lines.some(({ stream }) => stream === "NEX_LOGS_default"));
  assert.ok(node.id !== "");
});

test("a stream that was deleted comes back with the next deploy", async () => {
  await using nexus = await startTestNexus({ config: { history: { logs: true } } });
  await nexus.function(sayer);
  const has = async (): Promise<true | undefined> =>
    (await streamNames(nexus.client)).includes("NEX_LOGS_default") ? true : undefined;
  await eventually(has);
  await (await managerOf(nexus.client)).streams.delete("NEX_LOGS_default");
  await nexus.function(sayer);
  await eventually(has);
});

test("a node starts without JetStream, and its history begins once that is there", async () => {
  const { log, lines } = recorded();
  await using first = await startTestNatsServer({ jetstream: false });
  await using node = await startTestNode({ server: first.url, config: { history }, log });
  const off = (): typeof lines => lines.filter(({ msg }) => /history is off/.test(msg));
  await until(() => off().length >= 2);
  const { port } = first;
  await first.stop();
  await using second = await startTestNatsServer({ port });
  await using client = await connectNex({ servers: [second.url] });
  await kept(client, "system");
  await until(() => lines.filter(({ msg }) => /history is kept from now on/.test(msg)).length >= 2);
  // Each stream is told of once, however often it was tried.
  assert.deepEqual(
    off()
      .map(({ stream }) => stream)
      .sort(),
    ["NEX_EVENTS_system", "NEX_LOGS_system"],
  );
  assert.ok(node.id !== "");
});

test("the last lines of a workload stay beside a loud one", { skip: withoutProbe }, async () => {
  const logs = { max_lines_per_workload: 500 };
  await using nexus: TestNexus = await startTestNexus({ config: { history: { logs } } });
  await nexus.function(sayer, { name: "say" });
  await eventually(async () =>
    (await streamNames(nexus.client)).includes("NEX_LOGS_default") ? true : undefined,
  );
  await nexus.call("say", "quiet words");
  await nexus.probe(["lines", "3000", "wait"], { name: "loud" });
  const loud = await eventually(async () => {
    const texts = await textsOf(nexus.client, { workload: "loud" });
    return texts.length === 500 ? texts : undefined;
  });
  assert.equal(loud.length, 500);
  assert.ok((await textsOf(nexus.client, { workload: "say", tail: 1 })).includes("quiet words"));
});

const passwords = ["node", "acme", "globex", "admin"];

/** Users with the permissions of the reference, and nothing beyond them. */
function configuration(): string {
  const scope = (namespace: string): Parameters<typeof natsPermissions>[1] => ({
    ...{ namespace, subjects: [`${namespace}.>`], inboxPrefix: `_INBOX_${namespace}` },
  });
  const permissions: (NatsPermissions | undefined)[] = [
    natsPermissions("node", { ...scope("node"), history: ["acme", "globex", "system"] }),
    natsPermissions("issuer", scope("acme")),
    natsPermissions("issuer", scope("globex")),
    undefined,
  ];
  const users = permissions.map((given, at) => {
    const name = passwords[at];
    if (given === undefined) return `{ user: ${name}, password: ${name} }`;
    const { publish, subscribe, responses } = given;
    const answers =
      responses === undefined
        ? ""
        : `, allow_responses: { max: ${responses.max}, expires: "${responses.timeMs}ms" }`;
    return `{ user: ${name}, password: ${name}, permissions: { publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)}${answers} } }`;
  });
  return `jetstream {}\nauthorization { users: [\n${users.join("\n")}\n] }`;
}

test("node and issuers need the permissions of the reference, which give no other namespace's history", async () => {
  await using server = await startTestNatsServer({ config: configuration() });
  const login = (user: string): object => ({
    ...{ servers: [server.url], user, password: user, inboxPrefix: `_INBOX_${user}` },
  });
  await using admin = await connectNex({ servers: [server.url], user: "admin", password: "admin" });
  await using _node = await startTestNode({
    server: server.url,
    login: login("node"),
    config: {
      history,
      namespaces: {
        acme: { connection: { url: server.url, user: "admin", password: "admin" } },
        globex: { connection: { url: server.url, user: "admin", password: "admin" } },
      },
    },
  });
  await using acme = await connectNex({ ...login("acme"), namespace: "acme" });
  await using globex = await connectNex({ ...login("globex"), namespace: "globex" });
  for (const namespace of ["acme", "globex", "system"]) await kept(admin, namespace);
  for (const [client, name] of [
    [acme, "acme"],
    [globex, "globex"],
  ] as const) {
    const artifact = { bytes: Buffer.from(sayer) };
    await deployTo(client, { name: "say", artifact, triggerSubjects: [`${name}.say`] });
    await client.call(`${name}.say`, `secret of ${name}`);
    await untilLine(client, `secret of ${name}`);
  }
  assert.equal((await textsOf(acme, { tail: 1, workload: "say" })).length, 1);
  assert.ok(!(await textsOf(acme)).includes("secret of globex"));
  const types = (await Array.fromAsync(await acme.eventHistory())).map(({ namespace }) => namespace);
  assert.deepEqual([...new Set(types)].sort(), ["acme", "system"]);
  const stolen = await connectNex({ ...login("acme"), namespace: "globex" });
  await assert.rejects(stolen.logHistory(), { code: "connection_failed", message: /does not permit/ });
  await stolen.close();
  const consumer = JSON.stringify({ stream_name: "x", config: { ack_policy: "none" } });
  for (const [subject, body] of [
    ["$JS.API.DIRECT.GET.NEX_LOGS_globex", '{"seq":1}'],
    ["$JS.API.STREAM.INFO.NEX_LOGS_globex", ""],
    ["$JS.API.STREAM.MSG.GET.NEX_LOGS_globex", '{"seq":1}'],
    ["$JS.API.CONSUMER.CREATE.NEX_LOGS_globex", consumer],
    ["$JS.API.CONSUMER.CREATE.NEX_LOGS_acme", consumer],
    ["$JS.API.STREAM.DELETE.NEX_LOGS_acme", ""],
    ["$JS.API.STREAM.PURGE.NEX_LOGS_acme", ""],
  ] as const) {
    await assert.rejects(acme.connection.request(subject, body), /[Pp]ermission/, subject);
  }
});

test("a tenant keeps the logs of its namespace in an account of its own", async () => {
  const config = [
    "accounts {",
    "  NODES { jetstream: enabled, users: [{ user: node, password: node }]",
    '    exports: [{ stream: "$NEX.logs.acme.*.*.*" }, { stream: "$NEX.logs.globex.*.*.*" }] }',
    "  ACME { jetstream: enabled, users: [{ user: acme, password: acme }]",
    '    imports: [{ stream: { account: NODES, subject: "$NEX.logs.acme.*.*.*" } }] }',
    "}",
  ];
  await using server = await startTestNatsServer({ config: config.join("\n") });
  const login = (user: string): object => ({ servers: [server.url], user, password: user });
  await using tenant = await connectNex({ ...login("acme"), namespace: "acme" });
  const { streams } = await managerOf(tenant);
  await streams.add({ name: "NEX_LOGS_acme", subjects: ["$NEX.logs.acme.>"], allow_direct: true });
  await using _node = await startTestNode({ server: server.url, login: login("node") });
  for (const namespace of ["acme", "globex"]) {
    await using client = await connectNex({ ...login("node"), namespace });
    const artifact = { bytes: Buffer.from(sayer) };
    await deployTo(client, { name: "say", artifact, triggerSubjects: [`${namespace}.say`] });
    await client.call(`${namespace}.say`, `by ${namespace}`);
  }
  await untilLine(tenant, "by acme");
  assert.ok(!(await textsOf(tenant)).includes("by globex"));
});
