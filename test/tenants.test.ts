/**
 * Two tenants of one nexus, on the server's configuration of examples/tenants as it stands there: each reaches what is
 * its own, and what it tries beside that gives it nothing.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connectNex, type Deployment, type NexClient } from "@nexengine/client";
import { createKey, curveKeyOfSeed, type NatsLogin, NexError, type Signer } from "@nexengine/protocol";
import {
  auctionWhySubject,
  deploySubject,
  lameDuckSubject,
  stopSubject,
  workloadPingSubject,
} from "@nexengine/protocol/subjects";
import {
  newSigner,
  startTestNatsServer,
  startTestNode,
  type TestDeployOptions,
  until,
} from "@nexengine/testing";
import { NexHome } from "./support/nex.ts";

const folder = join(import.meta.dirname, "../examples/tenants");
const users = ["node", "operator", "acme", "acme-workloads", "globex", "globex-workloads"] as const;
const home = new NexHome();
const stack = new AsyncDisposableStack();

/** A tenant: its client, and one of a user who may do everything in its account. */
interface Tenant {
  name: string;
  client: NexClient;
  unbounded: NexClient;
  issuer: Signer;
}

let serverUrl: string;
let nodeId: string;
let operator: NexClient;
let acme: Tenant;
let globex: Tenant;
/** Subjects that the server has refused by its permissions. */
let violations: () => string[];

function keyPath(user: string): string {
  return join(home.path, `${user}.nk`);
}

function loginOf(user: string): NatsLogin {
  return { servers: [serverUrl], nkeySeed: readFileSync(keyPath(user), "utf8") };
}

before(async () => {
  const keys: string[] = [];
  for (const user of [...users, "acme-all", "globex-all"]) {
    const { status, stdout } = await home.run(["keys", "new", "user", keyPath(user)]);
    assert.equal(status, 0);
    keys.push(`${user.toUpperCase().replace("-", "_")}_KEY = ${stdout.trim()}`);
  }
  // Beside the users of the example, one in each tenant's account whom no permissions bind.
  const config = readFileSync(join(folder, "nats-server.conf"), "utf8")
    .replace('include "keys.conf"', keys.join("\n"))
    .replace(/^jetstream .*$/m, "")
    .replaceAll(
      /^( {2})(ACME|GLOBEX) \{\n(.*\n) {4}users: \[/gm,
      "$1$2 {\n$3    users: [\n      { nkey: $$$2_ALL_KEY }",
    );
  const server = stack.use(await startTestNatsServer({ config }));
  serverUrl = server.url;
  violations = () => readFileSync(server.logPath, "utf8").match(/[A-Z]+\/.*Violation.*/g) ?? [];
  const nodeConfig = JSON.parse(readFileSync(join(folder, "node.json"), "utf8"));
  for (const { connection } of Object.values<{ connection: { nkey: string } }>(nodeConfig.namespaces)) {
    connection.nkey = join(home.path, connection.nkey);
  }
  const node = await startTestNode({ server: serverUrl, login: loginOf("node"), config: nodeConfig });
  stack.use(node);
  nodeId = node.id;
  operator = stack.use(await connectNex({ ...loginOf("operator"), namespace: "acme" }));
  const tenant = async (name: string): Promise<Tenant> => ({
    name,
    client: stack.use(await connectNex({ ...loginOf(name), namespace: name })),
    unbounded: stack.use(await connectNex({ ...loginOf(`${name}-all`), namespace: name })),
    issuer: newSigner(),
  });
  acme = await tenant("acme");
  globex = await tenant("globex");
});
after(async () => {
  await stack.disposeAsync();
  home[Symbol.dispose]();
});

function deploy(tenant: Tenant, options: TestDeployOptions & { name: string }): Promise<Deployment> {
  return tenant.client.deploy({
    ...{ issuer: tenant.issuer, publisher: curveKeyOfSeed(createKey("curve").seed), type: "v8" },
    artifact: { bytes: Buffer.from(`(subject) => { console.log(subject); return "${tenant.name}"; }`) },
    triggerSubjects: [`app.${options.name}`],
    ...options,
  });
}

async function call({ client }: Tenant, subject: string): Promise<string> {
  return JSON.parse(Buffer.from((await client.call(subject)).data).toString());
}

async function refusal(act: Promise<unknown>): Promise<NexError> {
  const error = await act.then(
    () => assert.fail("it was accepted"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof NexError, String(error));
  return error;
}

/** The outcome of a request by somebody whom no permissions bind, in his own account. */
async function ask({ unbounded }: Tenant, subject: string, body: object = {}): Promise<unknown> {
  const reply = await unbounded.connection
    .request(subject, JSON.stringify(body), { timeout: 5_000 })
    .catch((error: Error) => error);
  return reply instanceof Error ? reply.message : reply.json();
}

describe("a tenant, with no more than the permissions of its role", () => {
  test("finds nodes, deploys, calls, watches, lists and stops, and nothing of it is refused", async () => {
    const seen: string[] = [];
    await using logs = acme.client.logs();
    await using events = acme.client.events();
    await acme.client.flush();
    const watching = Promise.all([
      (async () => {
        for await (const { text } of logs) seen.push(text);
      })(),
      (async () => {
        for await (const { type } of events) seen.push(type);
      })(),
    ]);
    assert.equal((await acme.client.nodes()).length, 1);
    const first = await deploy(acme, { name: "first" });
    assert.equal(await call(acme, "app.first"), "acme");
    const second = await deploy(acme, {
      name: "first",
      replaces: [{ id: first.id, nodeId }],
    });
    assert.equal(second.replaced, first.id);
    assert.equal((await acme.client.workloadDetails("first")).length, 1);
    await acme.client.stop({ nodeId, workloadId: second.id, name: "first", issuer: acme.issuer });
    await until(() =>
      ["app.first", "workload_deployed", "function_exec_succeeded", "workload_undeployed"].every((text) =>
        seen.includes(text),
      ),
    );
    await logs[Symbol.asyncDispose]();
    await events[Symbol.asyncDispose]();
    await watching;
    assert.deepEqual(violations(), []);
  });

  test("is seen by an operator, who deploys nothing", async () => {
    const deployment = await deploy(acme, { name: "seen" });
    assert.equal((await operator.workloadDetails("seen"))[0]?.id, deployment.id);
    const before = violations().length;
    const { code } = await refusal(
      operator.deploy({
        ...{ issuer: acme.issuer, publisher: curveKeyOfSeed(createKey("curve").seed), type: "v8", name: "x" },
        ...{
          artifact: { bucket: "NEXCLIFILES", key: "x", sha256: "0".repeat(64) },
          triggerSubjects: ["app.x"],
        },
      }),
    );
    assert.match(code, /connection_failed|node_silent/);
    // The server writes its log in its own time.
    await until(() => violations().length > before);
    assert.match(violations()[before] ?? "", /\$NEX\.DEPLOY\.acme/);
  });
});

describe("a tenant that reaches for another's", () => {
  test("has functions that reach the buckets and objects of its own account only (S7)", async () => {
    const run = `(subject, payload) => {
      const { kv, objectStore, messaging } = hostServices;
      const source = "return " + new TextDecoder().decode(payload);
      try { return new Function("kv", "objectStore", "messaging", source)(kv, objectStore, messaging); } catch (error) { return { code: error.code, message: error.message }; }
    }`;
    const options = { name: "worker", artifact: { bytes: Buffer.from(run) } };
    await deploy(globex, options);
    await deploy(acme, options);
    const ask = async ({ client }: Tenant, source: string): Promise<unknown> => {
      const text = Buffer.from((await client.call("app.worker", source)).data).toString();
      return text === "" ? undefined : JSON.parse(text);
    };
    const before = violations().length;
    for (const tenant of [globex, acme]) {
      await ask(tenant, `kv.set("mine", "${tenant.name}")`);
      await ask(tenant, `objectStore.put("${tenant.name}", "x")`);
      assert.equal(await ask(tenant, 'new TextDecoder().decode(kv.get("mine"))'), tenant.name);
      assert.deepEqual(await ask(tenant, "kv.keys()"), ["mine"]);
      assert.deepEqual(await ask(tenant, "objectStore.list().map(({ name }) => name)"), [tenant.name]);
      await ask(tenant, `objectStore.delete("${tenant.name}")`);
      await ask(tenant, 'kv.delete("mine")');
    }
    assert.deepEqual(violations().slice(before), []);
    // One does not hear what the other publishes, and only its own functions ask it.
    const heard: string[] = [];
    globex.unbounded.connection.subscribe("app.>", {
      callback: (_, { subject }) => void heard.push(subject),
    });
    await globex.unbounded.flush();
    await ask(acme, 'messaging.publish("app.told", "secret")');
    assert.equal(
      await ask(acme, 'new TextDecoder().decode(messaging.request("app.worker2", "x"))').then(
        (answer) => (answer as { code: number }).code,
      ),
      503,
    );
    await globex.unbounded.flush();
    assert.deepEqual(heard, []);
  });

  test("has a function on the same subject, and gets no message of the other", async () => {
    await deploy(globex, { name: "orders" });
    await deploy(acme, { name: "spy", triggerSubjects: ["app.orders", "app.>"] });
    const heard: string[] = [];
    await using logs = acme.client.logs({ workloadName: "spy" });
    await acme.client.flush();
    assert.equal(await call(globex, "app.orders"), "globex");
    // Its own message comes after the other's, and is heard.
    assert.equal(await call(acme, "app.mine"), "acme");
    for await (const { text } of logs) if (heard.push(text) > 0 && text === "app.mine") break;
    assert.deepEqual(
      heard.filter((text) => text.startsWith("app.")),
      ["app.mine"],
    );
  });

  test("is answered where several of its functions have a trigger", async () => {
    const before = violations().length;
    await deploy(acme, { name: "twice", triggerSubjects: ["app.twice", "app.*"] });
    await deploy(acme, { name: "thrice", triggerSubjects: ["app.twice"] });
    assert.equal(await call(acme, "app.twice"), "acme");
    await acme.client.flush();
    assert.deepEqual(violations().slice(before), []);
  });

  test("is refused a trigger outside its subjects, and says why", async () => {
    for (const subject of ["globex.orders", ">", "_INBOX.>", "$KV.>", "$NEX.logs.globex.>"]) {
      const error = await refusal(deploy(acme, { name: "outside", triggerSubjects: [subject] }));
      assert.equal(error.code, "trigger_denied", subject);
    }
  });

  test("has its artifact read from its own buckets only", async () => {
    await deploy(globex, { name: "theirs" });
    const artifact = { bucket: "NEXCLIFILES", key: "globex/theirs", sha256: "0".repeat(64) };
    assert.equal((await refusal(deploy(acme, { name: "thief", artifact }))).code, "artifact_not_found");
  });

  test("deploys into no other namespace", async () => {
    const subject = deploySubject("globex", nodeId);
    // By permissions, and in his account beyond them too.
    const inGlobex = await connectNex({ ...loginOf("acme"), namespace: "globex" });
    await using _ = inGlobex;
    const { code } = await refusal(deploy({ ...acme, client: inGlobex }, { name: "intruder", node: nodeId }));
    assert.match(code, /connection_failed|node_not_found|upload_failed/);
    assert.match(String(await ask(acme, subject)), /no responders/);
    assert.equal((await globex.client.workloadDetails("intruder")).length, 0);
  });

  test("stops no workload of another, and ends no node", async () => {
    const { id } = await deploy(globex, { name: "steady" });
    const request = { workload_id: id, workload_jwt: "x" };
    assert.match(String(await ask(acme, stopSubject("globex", nodeId), request)), /no responders/);
    assert.deepEqual(await ask(acme, stopSubject("acme", nodeId), request), {
      ...{ type: "io.nats.nex.v1.stop_response", data: "", error: "No such workload" },
      nex: { version: 1, code: "no_such_workload" },
    });
    assert.match(String(await ask(acme, lameDuckSubject(nodeId))), /no responders/);
    assert.match(String(await ask(acme, workloadPingSubject("globex"))), /no responders/);
    assert.equal(await call(globex, "app.steady"), "globex");
  });

  test("hears nothing of another's requests, logs and events, whatever it listens to", async () => {
    const heard: string[] = [];
    acme.unbounded.connection.subscribe(">", { callback: (_, message) => void heard.push(message.subject) });
    await acme.unbounded.flush();
    await deploy(globex, { name: "secret" });
    assert.equal(await call(globex, "app.secret"), "globex");
    await deploy(acme, { name: "last" });
    await until(() => heard.some((subject) => subject === "$NEX.events.acme.workload_deployed"));
    assert.deepEqual(
      heard.filter((subject) => /globex|secret/.test(subject)),
      [],
    );
  });

  test("is told by no auction what the other may", async () => {
    const nex = { version: 1, namespace: "globex", issuer: acme.issuer.publicKey };
    const answer = await ask(acme, auctionWhySubject, { workload_types: ["v8"], nex });
    assert.deepEqual(Object.keys((answer as { data: object }).data), ["node_id", "bids", "reasons"]);
  });

  test("is let in nowhere by a connection of its own without a login, or with the other's name", async () => {
    for (const triggerConnection of [{ url: serverUrl }, { seed: createKey("user").seed }]) {
      const error = await refusal(deploy(acme, { name: "own", triggerConnection }));
      assert.equal(error.code, "connection_failed");
    }
  });
});
