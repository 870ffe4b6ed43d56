/** A login that is refused while a node runs, as when a password is changed: it is no reason to end anything. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { startTestNatsServer, startTestNode, TestNexus } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";

const configWith = (password: string): string => `
authorization { users: [ { user: node, password: "${password}" }, { user: person, password: "p" } ] }
`;

test("a node whose password was changed keeps running what runs, tries again for ever, and comes back", async () => {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestNatsServer({ config: configWith("old") }));
  const node = stack.use(
    await startTestNode({
      server: server.url,
      login: { user: "node", password: "old" },
    }),
  );
  const client = stack.use(await connectNex({ servers: [server.url], user: "person", password: "p" }));
  const nexus = new TestNexus(server, node, client, new AsyncDisposableStack());
  await nexus.function("let calls = 0; module.exports = () => ++calls;", { name: "f", globals: "keep" });
  assert.equal(await nexus.call("f"), "1");
  let hasEnded = false;
  void node.ended.then(() => {
    hasEnded = true;
  });
  const path = join(dirname(dirname(server.logPath)), "nats-server.conf");
  assert.equal(readFileSync(path, "utf8"), configWith("old"));
  const change = (password: string): void => {
    writeFileSync(path, configWith(password));
    process.kill(server.pid, "SIGHUP");
  };
  change("new");
  const refusals = (): number =>
    readFileSync(server.logPath, "utf8").match(/authentication error/gi)?.length ?? 0;
  await eventually(async () => (refusals() >= 3 ? true : undefined));
  assert.equal(hasEnded, false);
  change("old");
  const answer = await eventually(() => nexus.call("f").catch(() => undefined));
  assert.equal(answer, "2", "the function was not started again");
});
