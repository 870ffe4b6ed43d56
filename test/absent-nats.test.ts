/** NATS that is not there when a node starts: the node's own server, or the one of a namespace. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { startTestNatsServer, startTestNode, TestNexus } from "@nexengine/testing";
import { pino } from "pino";
import { eventually, until } from "../packages/testing/src/observe.ts";
import { NexHome } from "./support/nex.ts";

test("nex node up waits for NATS where it is asked to, says so once, and otherwise fails at once", async () => {
  await using server = await startTestNatsServer();
  await server.kill();
  using home = new NexHome();
  const up = ["node", "up", "--sandbox", "process", "-s", server.url];
  const failed = await home.run(up);
  assert.equal(failed.status, 3);
  assert.match(failed.stderr, /connection refused, no server listens there/);
  const late = await home.run([...up, "--wait-for-nats", "600ms"]);
  assert.equal(late.status, 3);
  assert.match(late.stderr, /NATS is not there yet; the node waits for it/);
  assert.match(late.stderr, /connection refused, no server listens there/);
  await using node = home.start([...up, "--wait-for-nats", "10m"]);
  await node.shows(/NATS is not there yet/);
  await server.restart();
  await node.shows(/NATS is there, the node starts/);
  const client = await connectNex({ servers: [server.url] });
  try {
    await eventually(async () => ((await client.nodes()).length === 1 ? true : undefined));
  } finally {
    await client.close();
  }
  assert.equal((node.stdout + node.stderr).match(/NATS is not there yet/g)?.length, 1);
});

test("a node that is restarted without a namespace's NATS starts, refuses deploys there, and runs its workloads there later", async () => {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), "nex-test-absent-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const server = stack.use(await startTestNatsServer());
  const apart = stack.use(await startTestNatsServer());
  const said: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void said.push(line) });
  const options = {
    ...{ server: server.url, directory, log, tuning: { connectTimeMs: 500 } },
    config: { namespaces: { default: {}, apart: { connection: { url: apart.url } } } },
  };
  const first = await startTestNode(options);
  const client = stack.use(await connectNex({ servers: [server.url] }));
  const apartClient = stack.use(await connectNex({ servers: [apart.url], namespace: "apart" }));
  const nexus = new TestNexus(server, first, client, new AsyncDisposableStack());
  await nexus.function("() => 'usual'", { name: "usual" });
  const artifact = await apartClient.upload({ bytes: Buffer.from("() => 'apart'") }, { key: "apart" });
  const inApart = (name: string, node: string) =>
    nexus.inNamespace("apart").deploy({
      ...{ issuer: nexus.issuer, publisher: nexus.publisher, name, type: "v8" as const, node },
      ...{ triggerSubjects: [name], artifact },
    });
  await inApart("far", first.id);
  const far = async (): Promise<string | undefined> =>
    await apartClient.call("far", "", { timeoutMs: 1_000 }).then(
      ({ data }) => Buffer.from(data).toString(),
      () => undefined,
    );
  assert.equal(await far(), '"apart"');
  await first.stop();
  await apart.kill();
  const second = stack.use(await startTestNode(options));
  assert.equal(second.id, first.id);
  assert.equal(await nexus.call("usual"), '"usual"', "other namespaces go on");
  await assert.rejects(inApart("more", second.id), { code: "connection_unavailable" });
  const told = (text: RegExp): number => said.filter((line) => text.test(line)).length;
  await until(() => told(/can't run yet; it is tried again.*/) > 0);
  assert.ok(told(/no connection for the namespace \\"apart\\"/) > 0);
  await apart.restart();
  assert.equal(await eventually(far), '"apart"', "it runs again");
});
