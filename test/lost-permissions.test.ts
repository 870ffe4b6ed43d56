/** Permissions of a node that are taken away while it runs, and given back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { startTestNode, TestNexus } from "@nexengine/testing";
import { pino } from "pino";
import { eventually, until } from "../packages/testing/src/observe.ts";
import { ReloadableServer } from "./support/reloadable-server.ts";

const configWith = (denied: readonly string[]): string => `
authorization { users: [
  { user: node, password: "p", permissions: { publish: ">", subscribe: { deny: [${denied.map((subject) => `"${subject}"`).join(", ")}] } } },
  { user: person, password: "p" }
] }
`;

test("subscriptions that NATS takes away are told and tried again: a function's trigger, and the node's requests", async () => {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await ReloadableServer.start(configWith([])));
  const said: { level: number; msg: string; subject?: string }[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void said.push(JSON.parse(line)) });
  const told = (text: RegExp, subject: string): number =>
    said.filter((line) => text.test(line.msg) && line.subject?.startsWith(subject)).length;
  const login = { user: "node", password: "p" };
  const node = stack.use(await startTestNode({ server: server.url, login, log }));
  const client = stack.use(await connectNex({ servers: [server.url], user: "person", password: "p" }));
  const nexus = new TestNexus(server.server, node, client, new AsyncDisposableStack());
  await nexus.function("() => 1", { name: "f" });
  await nexus.function("() => 2", { name: "other" });
  const workloadOf = async (name: string) =>
    (await client.info(node.id)).machines.find(({ workload }) => workload.name === name);

  await server.reload(configWith(["f"]));
  await until(() => told(/does not permit the subscription of a trigger; it is tried again/, "f") > 0);
  assert.match(
    (await workloadOf("f"))?.nex?.reason ?? "",
    /^trigger subject \(subject f\): NATS does not permit the subscription; it is tried again$/,
  );
  assert.equal((await workloadOf("other"))?.nex?.reason, undefined);
  assert.equal(await nexus.call("other"), "2");
  await assert.rejects(nexus.call("f"));

  await server.reload(configWith([]));
  assert.equal(await eventually(() => nexus.call("f").catch(() => undefined)), "1", "without a restart");
  await until(() => told(/subscription of a trigger is permitted again/, "f") > 0);
  assert.equal((await workloadOf("f"))?.nex?.reason, undefined);

  const refused = /does not permit the node to take requests; it is tried again/;
  await server.reload(configWith(["$NEX.>", "other"]));
  await until(() => told(refused, "$NEX.INFO") > 0 && told(refused, "$NEX.DEPLOY") > 0);
  await until(() => told(/does not permit the subscription of a trigger/, "other") > 0);
  // A reconnect with the permissions still away.
  await server.server.restart();
  assert.equal(await eventually(() => nexus.call("f").catch(() => undefined)), "1");
  await server.reload(configWith([]));
  await eventually(() => client.info(node.id, 1_000).catch(() => undefined));
  assert.equal(await eventually(() => nexus.call("other").catch(() => undefined)), "2");
  await nexus.function("() => 3", { name: "late" });
  assert.equal(await nexus.call("late"), "3");
  for (const { level } of said.filter(({ msg }) => refused.test(msg))) assert.equal(level, 50);
});
