/** A login that is refused while a node runs, as when a password is changed: it is no reason to end anything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import type { NexNode } from "@nexengine/node";
import { nodeLogSubject } from "@nexengine/protocol/subjects";
import { startTestNode, TestNexus } from "@nexengine/testing";
import { pino } from "pino";
import { eventually, until } from "../packages/testing/src/observe.ts";
import { NexHome } from "./support/nex.ts";
import { ReloadableServer } from "./support/reloadable-server.ts";

const configWith = (password: string): string => `
authorization { users: [ { user: node, password: "${password}" }, { user: person, password: "p" } ] }
`;

/** A server whose password for the node can be changed while it runs. */
async function startRotatingServer(stack: AsyncDisposableStack): Promise<{
  server: ReloadableServer;
  change(password: string): Promise<void>;
  /** Number of logins that the server has refused. */
  refusals(): number;
  /** Waits until the server has refused so many logins. */
  refused(count: number): Promise<void>;
}> {
  const server = stack.use(await ReloadableServer.start(configWith("old")));
  const refusals = (): number => server.logged(/authentication error/gi);
  return {
    server,
    refusals,
    change: (password) => server.reload(configWith(password)),
    refused: (count) => until(() => refusals() >= count),
  };
}

test("a node whose password was changed keeps running what runs, says why it is lost, tries again for ever, and comes back", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, change, refused } = await startRotatingServer(stack);
  const said: { level: number; msg: string; reason?: string }[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void said.push(JSON.parse(line)) });
  const login = { user: "node", password: "old" };
  const namespaces = { "*": {}, acme: { connection: { user: "node", password: "old" } } };
  const node = stack.use(await startTestNode({ server: server.url, login, log, config: { namespaces } }));
  const client = stack.use(await connectNex({ servers: [server.url], user: "person", password: "p" }));
  const nexus = new TestNexus(server.server, node, client, new AsyncDisposableStack());
  await nexus.function("let calls = 0; module.exports = () => ++calls;", { name: "f", globals: "keep" });
  assert.equal(await nexus.call("f"), "1");
  let hasEnded = false;
  void node.ended.then(() => {
    hasEnded = true;
  });
  const refusals = (msg: RegExp) =>
    said.filter((line) => msg.test(line.msg)).map(({ level, reason }) => [level, reason]);
  const own = /^NATS refuses the node's login; it is tried again$/;
  const ofNamespace = /^NATS refuses the login for the namespace "acme"; it is tried again$/;
  await change("new");
  await refused(6);
  assert.equal(hasEnded, false);
  // A loss is told once, however often the login is refused.
  for (const told of [own, ofNamespace]) {
    await eventually(async () => (refusals(told).length > 0 ? true : undefined));
    assert.equal(refusals(told).length, 1);
    const [level, reason] = refusals(told)[0] ?? [];
    assert.equal(level, 50);
    // The server's words are lost where it resets the connection.
    assert.match(String(reason), /^Authorization Violation$|^the server closes the connection before/);
  }
  await change("old");
  const answer = await eventually(() => nexus.call("f").catch(() => undefined));
  assert.equal(answer, "2", "the function goes on");
});

test("a node whose password is changed three times has one connection in the end, and tells each loss and return once", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, change, refusals, refused } = await startRotatingServer(stack);
  const said: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void said.push(JSON.parse(line).msg) });
  const login = { user: "node", password: "old" };
  const node = stack.use(await startTestNode({ server: server.url, login, log }));
  const client = stack.use(await connectNex({ servers: [server.url], user: "person", password: "p" }));
  const nexus = new TestNexus(server.server, node, client, new AsyncDisposableStack());
  await nexus.function("() => 1", { name: "f" });
  const times = (text: RegExp) => said.filter((line) => text.test(line)).length;
  for (let rotation = 1; rotation <= 3; rotation++) {
    const before = refusals();
    await change("new");
    await refused(before + 3);
    await change("old");
    await until(() => times(/connection to NATS is back/) >= rotation);
    assert.equal(await eventually(() => nexus.call("f").catch(() => undefined)), "1");
  }
  const names = await server.connectionNames();
  assert.equal(names.filter((name) => name.startsWith("nex-node-")).length, 1, names.join());
  assert.equal(times(/connection to NATS was lost/), 3);
  assert.equal(times(/connection to NATS is back/), 3);
});

test("nex node up --logger nats logs on NATS again after its password was changed and changed back", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, change, refused } = await startRotatingServer(stack);
  using home = new NexHome();
  const args = ["node", "up", "--sandbox", "process", "--logger", "nats", "--logger", "std"];
  const login = ["-s", server.url, "--user", "node", "--password", "old"];
  const client = stack.use(await connectNex({ servers: [server.url], user: "person", password: "p" }));
  const lines: string[] = [];
  const subscription = client.connection.subscribe(nodeLogSubject("*", "stdout"), {
    callback: (_, message) => void lines.push(message.string()),
  });
  await client.flush();
  await using node = home.start([...args, ...login]);
  // The log has a connection of its own, which must be there before its login is refused.
  await eventually(async () => (lines.some((line) => / - node runs /.test(line)) ? true : undefined));
  await change("new");
  await refused(6);
  await change("old");
  await node.shows(/connection to NATS is back/);
  const nexus = new TestNexus(server.server, {} as NexNode, client, new AsyncDisposableStack());
  await eventually(async () => {
    await nexus.function("() => 1", { name: "f" }).catch(() => undefined);
    return lines.some((line) => / - deploy accepted .*name=f/.test(line)) ? true : undefined;
  });
  subscription.unsubscribe();
});
