/** A login that is refused while a node runs, as when a password is changed: it is no reason to end anything. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import type { NexNode } from "@nexengine/node";
import { nodeLogSubject } from "@nexengine/protocol/subjects";
import type { NatsServer } from "@nexengine/provision";
import { startTestNatsServer, startTestNode, TestNexus } from "@nexengine/testing";
import { pino } from "pino";
import { eventually } from "../packages/testing/src/observe.ts";
import { NexHome } from "./support/nex.ts";

const configWith = (password: string): string => `
authorization { users: [ { user: node, password: "${password}" }, { user: person, password: "p" } ] }
`;

/** A server whose password for the node can be changed while it runs. */
async function startRotatingServer(stack: AsyncDisposableStack): Promise<{
  server: NatsServer;
  change(password: string): void;
  /** Waits until the server has refused so many logins. */
  refused(count: number): Promise<void>;
}> {
  const server = stack.use(await startTestNatsServer({ config: configWith("old") }));
  const path = join(dirname(dirname(server.logPath)), "nats-server.conf");
  assert.equal(readFileSync(path, "utf8"), configWith("old"));
  const refusals = (): number =>
    readFileSync(server.logPath, "utf8").match(/authentication error/gi)?.length ?? 0;
  return {
    server,
    change: (password) => {
      writeFileSync(path, configWith(password));
      process.kill(server.pid, "SIGHUP");
    },
    refused: async (count) => {
      await eventually(async () => (refusals() >= count ? true : undefined));
    },
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
  const nexus = new TestNexus(server, node, client, new AsyncDisposableStack());
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
  change("new");
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
  change("old");
  const answer = await eventually(() => nexus.call("f").catch(() => undefined));
  assert.equal(answer, "2", "the function goes on");
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
  change("new");
  await refused(6);
  change("old");
  await node.shows(/connection to NATS is back/);
  const nexus = new TestNexus(server, {} as NexNode, client, new AsyncDisposableStack());
  await eventually(async () => {
    await nexus.function("() => 1", { name: "f" }).catch(() => undefined);
    return lines.some((line) => / - deploy accepted .*name=f/.test(line)) ? true : undefined;
  });
  subscription.unsubscribe();
});
