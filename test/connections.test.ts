/**
 * The connections that a function acts through: those that its request brings along, on real accounts of a real server.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connectNex, type NexClient } from "@nexengine/client";
import { createKey, NexError } from "@nexengine/protocol";
import { encodeClaims, sealEnvironment } from "@nexengine/protocol/tokens";
import {
  eventOf,
  startTestNatsServer,
  startTestNode,
  TestNexus,
  type TestNexusOptions,
} from "@nexengine/testing";
import { pino } from "pino";
import { type Answer, capture, send } from "./support/captured.ts";
import { GossipProxy } from "./support/gossip-proxy.ts";
import { accountsConfig, TestAccount, type TestUser } from "./support/nats-accounts.ts";

const nodes = new TestAccount("NODES");
const acme = new TestAccount("ACME");

/** The log of everything below, which must hold no secret. */
const logged: string[] = [];
const log = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) });

interface Wire {
  nats_url: string;
  nats_user_jwt: string;
  nats_user_seed: string;
}

function wire({ jwt, seed }: TestUser, nats_url = ""): Wire {
  return { nats_url, nats_user_jwt: jwt, nats_user_seed: seed };
}

async function startAccounts(options: TestNexusOptions = {}): Promise<TestNexus> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(
    await startTestNatsServer({
      config: accountsConfig([
        [nodes, {}],
        [acme, {}],
      ]),
    }),
  );
  const { jwt, seed } = nodes.user("node");
  const login = { userJwt: jwt, nkeySeed: seed };
  const node = stack.use(await startTestNode({ ...options, server: server.url, login, log }));
  const client = stack.use(await connectNex({ ...login, servers: [server.url] }));
  return new TestNexus(server, node, client, stack.move());
}

/** A client in the other account. */
async function acmeClient(nexus: TestNexus): Promise<NexClient> {
  const { jwt, seed } = acme.user();
  return await connectNex({ servers: [nexus.server.url], userJwt: jwt, nkeySeed: seed });
}

async function answers(client: NexClient, subject: string, timeoutMs = 10_000): Promise<string> {
  return JSON.parse(Buffer.from((await client.call(subject, "", { timeoutMs })).data).toString());
}

async function refusal(act: Promise<unknown>): Promise<NexError> {
  const error = await act.then(
    () => assert.fail("it was accepted"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof NexError);
  return error;
}

/** A deploy as Go Nex's clients make it: a legacy token, and connections in clear. */
async function referenceDeploy(nexus: TestNexus, name: string, members: object): Promise<Answer> {
  const { subject, body } = await capture(nexus, "$NEX.DEPLOY.>", () => nexus.function("() => 'reference'"));
  const { nex: _, ...rest } = body;
  const xkey = (await nexus.client.info(nexus.node.id)).public_xkey;
  return await send(nexus, subject, {
    ...rest,
    ...members,
    environment: sealEnvironment({}, nexus.publisher, xkey),
    trigger_subjects: [name],
    workload_jwt: encodeClaims(
      { subject: name, issuedAt: Math.floor(Date.now() / 1000), data: { hash: "abc12345TODOmakethisreal" } },
      nexus.issuer,
    ),
  });
}

describe("a function's own trigger connection", () => {
  let nexus: TestNexus;
  let client: NexClient;
  before(async () => {
    nexus = await startAccounts();
    client = await acmeClient(nexus);
  });
  after(async () => {
    await client.close();
    await nexus[Symbol.asyncDispose]();
  });

  test("has its triggers in its own account, and nowhere else", async () => {
    const { jwt, seed } = acme.user();
    const deployment = await nexus.function("() => 'mine'", {
      name: "sealed",
      triggerConnection: { url: nexus.server.url, jwt, seed },
    });
    assert.equal(await answers(client, "sealed"), "mine");
    assert.equal((await refusal(nexus.client.call("sealed", ""))).code, "node_not_found");
    await nexus.stop(deployment);
    assert.equal((await refusal(client.call("sealed", ""))).code, "node_not_found");
  });

  test("is on the node's servers when it names none", async () => {
    const { jwt, seed } = acme.user();
    await nexus.function("() => 'here'", { name: "unnamed", triggerConnection: { jwt, seed } });
    assert.equal(await answers(client, "unnamed"), "here");
  });

  test("may come in clear, as from Go Nex's clients", async () => {
    const answer = await referenceDeploy(nexus, "clear", {
      trigger_connection: wire(acme.user(), nexus.server.url),
    });
    assert.equal(answer.error, undefined);
    assert.equal(await answers(client, "clear"), "reference");
  });

  test("lives on when the function's machine is replaced", async () => {
    const { jwt, seed } = acme.user();
    await nexus.function("(_, payload) => { for (; payload.length > 0; ); return 'again'; }", {
      name: "restarted",
      triggerConnection: { jwt, seed },
      limits: { callTimeMs: 200 },
    });
    assert.equal((await refusal(client.call("restarted", "for ever"))).code, "function_timed_out");
    assert.equal(await answers(client, "restarted"), "again");
  });

  test("is refused where its server does not let it in, and leaves nothing", async () => {
    const stranger = new TestAccount("STRANGER").user();
    const error = await refusal(
      nexus.function("() => 1", { triggerConnection: { jwt: stranger.jwt, seed: stranger.seed } }),
    );
    assert.equal(error.code, "connection_failed");
    assert.match(error.message, /trigger_connection.*Authorization Violation/i);
  });

  test("leaves its secrets in no log and no answer (S4)", async () => {
    const { jwt, seed } = acme.user();
    const url = nexus.server.url.replace("//", "//hunter2:swordfish@");
    const errors = [
      await refusal(nexus.function("() => 1", { triggerConnection: { url, jwt: `${jwt}x`, seed } })),
      await refusal(nexus.function("() => 1", { triggerConnection: { jwt, seed: `${seed}x` } })),
      await refusal(nexus.function("() => 1", { hostServices: { url: `${url}1`, jwt, seed } })),
    ];
    const texts = [...errors.map(({ message, advice }) => `${message} ${advice}`), ...logged].join("\n");
    for (const secret of [jwt, seed, "swordfish", "hunter2"]) assert.ok(!texts.includes(secret), texts);
  });
});

describe("which servers a request may name", () => {
  test("are the node's, as the node writes them", async () => {
    await using nexus = await startAccounts();
    const { port } = nexus.server;
    const node = nexus.node.id;
    for (const url of [
      "nats://example.org:4222",
      `nats://127.0.0.1:${port + 1}`,
      `nats://localhost:${port}`,
      `nats://127.1:${port + 1}`,
      `nats://127.0.0.1:${port}@example.org:4222`,
      `nats://127.0.0.1:${port},nats://169.254.169.254:4222`,
      `ws://127.0.0.1:${port}`,
      "nats://[",
    ]) {
      const error = await refusal(nexus.function("() => 1", { node, triggerConnection: { url } }));
      assert.equal(error.code, "connection_not_allowed", url);
    }
  });

  test("are any with request_connections any, but the node's host, its link and metadata", async () => {
    await using nexus = await startAccounts({ config: { request_connections: "any" } });
    const { port } = nexus.server;
    const node = nexus.node.id;
    await using other = await startTestNatsServer({ host: "127.0.0.1" });
    for (const url of [
      other.url,
      `nats://localhost:${other.port}`,
      `nats://2130706433:${other.port}`,
      `nats://[::ffff:127.0.0.1]:${other.port}`,
      "nats://169.254.169.254:80",
      "nats://0.0.0.0:4222",
      "nats://[::1]:4222",
      "nats://168.63.129.16:4222",
      "nats://[fd00:ec2::254]:4222",
      "nats://[2002:7f00:1::]:4222",
      ...Object.values(networkInterfaces())
        .flatMap((found) => found ?? [])
        .map(({ address, family }) => `nats://${family === "IPv6" ? `[${address}]` : address}:4222`),
    ]) {
      const error = await refusal(nexus.function("() => 1", { node, triggerConnection: { url } }));
      assert.equal(error.code, "connection_not_allowed", url);
    }
    // The node's own server stays one, wherever it is.
    const { jwt, seed } = acme.user();
    const options = { triggerConnection: { url: `nats://127.0.0.1:${port}`, jwt, seed } };
    await nexus.function("() => 1", options);
  });
});

describe("how many connections requests have", () => {
  test("is bounded, and what ends gives its own back", async () => {
    await using nexus = await startAccounts({ tuning: { requestConnectionsMax: 2 } });
    const { jwt, seed } = acme.user();
    const both = { triggerConnection: { jwt, seed }, hostServices: { jwt, seed } };
    const first = await nexus.function("() => 1", both);
    const refused = () => refusal(nexus.function("() => 1", { hostServices: { jwt, seed } }));
    assert.equal((await refused()).code, "connection_limit");
    assert.equal((await refused()).code, "connection_limit");
    await nexus.stop(first);
    await nexus.function("() => 1", both);
  });
});

describe("a per-request connection that is broken", { concurrency: true }, () => {
  test("does not follow its server to one that the server tells of", async () => {
    await using stack = new AsyncDisposableStack();
    const config = accountsConfig([
      [nodes, {}],
      [acme, {}],
    ]);
    const server = stack.use(await startTestNatsServer({ config }));
    const proxy = stack.use(await new GossipProxy(server.port, "nex-trigger_connection").start());
    const { jwt, seed } = nodes.user("node");
    const login = { userJwt: jwt, nkeySeed: seed };
    const options = { server: server.url, login: { ...login, servers: [proxy.url] }, log };
    const node = stack.use(await startTestNode(options));
    const client = stack.use(await connectNex({ ...login, servers: [server.url] }));
    await using nexus = new TestNexus(server, node, client, stack.move());
    const own = acme.user();
    await nexus.function("() => 'back'", {
      name: "told",
      triggerConnection: { url: proxy.url, jwt: own.jwt, seed: own.seed },
    });
    await using caller = await acmeClient(nexus);
    assert.equal(await answers(caller, "told"), "back");
    proxy.cut();
    let text = "";
    // The connection tries one server after the other, the one that it was told of before the one that was cut.
    while (text === "") text = await answers(caller, "told", 500).catch(() => "");
    assert.equal(proxy.caught, "");
  });

  test("for good ends its function, and the event says why", async () => {
    const directory = mkdtempSync(join(tmpdir(), "nex-connections-"));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rmSync(directory, { recursive: true }));
    const user = createKey("user");
    const usersPath = join(directory, "users.conf");
    const write = (users: string): void =>
      writeFileSync(usersPath, `authorization { users: [{ user: u, password: p }${users}] }`);
    write(`, { nkey: ${user.publicKey} }`);
    const server = stack.use(
      await startTestNatsServer({ config: `include "../${basename(directory)}/users.conf"` }),
    );
    const login = { user: "u", password: "p" };
    const node = stack.use(await startTestNode({ server: server.url, login, log }));
    const client = stack.use(await connectNex({ ...login, servers: [server.url] }));
    const nexus = new TestNexus(server, node, client, stack.move());
    await using _ = nexus;
    const own = { seed: user.seed };
    const deployment = await nexus.function("() => 1", { triggerConnection: own });
    const ended = await eventOf(nexus, "workload_undeployed", async () => {
      write("");
      process.kill(server.pid, "SIGHUP");
    });
    assert.equal(ended["vmid"], deployment.id);
    assert.equal(ended["code"], -1);
    assert.match(
      String(ended["reason"]),
      /^its trigger_connection was closed for good: .*Authorization Violation/i,
    );
    assert.equal((await client.info(node.id)).machines.length, 0);
  });
});
