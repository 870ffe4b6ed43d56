/** `nex node upgrade`: a node that people run in a terminal goes on in a new process. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { createKey, curveKeyOfSeed } from "@nexengine/protocol";
import { newSigner, startTestNatsServer } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { Callers } from "./support/callers.ts";
import { NexHome } from "./support/nex.ts";

test("nex node upgrade hands a node over, and the first process passes signals on and ends with it", async () => {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  using home = new NexHome();
  const directory = mkdtempSync(join(tmpdir(), "nex-upgrade-"));
  const config = join(directory, "config.json");
  writeFileSync(config, JSON.stringify({ tags: { round: "1" } }));
  const state = join(directory, "state");
  const args = ["-s", server.url, "--sandbox", "process", "--state-directory", state, "--config", config];
  try {
    await using node = home.start(["node", "up", ...args]);
    const before = await eventually(async () => (await client.nodes())[0]);
    await client.deploy({
      name: "echo",
      type: "v8",
      issuer: newSigner(),
      publisher: curveKeyOfSeed(createKey("curve").seed),
      artifact: { bytes: Buffer.from("module.exports = (s, p) => 'ok';") },
      triggerSubjects: ["echo"],
    });
    await using callers = new Callers(client, ["echo"], 4);
    for (const round of ["2", "3"]) {
      writeFileSync(config, JSON.stringify({ tags: { round } }));
      const upgraded = await home.run(["node", "upgrade", "--state-directory", state]);
      assert.equal(upgraded.status, 0, upgraded.stderr);
      assert.match(upgraded.stdout, /goes on in process \d+ \(nex /);
      await callers.answers(10);
      const [after] = await client.nodes();
      assert.equal(after?.node_id, before.node_id);
      assert.equal(after?.tags?.["round"], round);
    }
    await callers.stop();
    assert.deepEqual(callers.failures, []);
    // A successor that can't start changes nothing.
    writeFileSync(config, "{");
    const refused = await home.run(["node", "upgrade", "--state-directory", state]);
    assert.equal(refused.status, 5);
    assert.match(refused.stderr, /did not take the node over.*the node goes on as before/s);
    assert.equal(Buffer.from((await client.call("echo", "")).data).toString(), '"ok"');
    const asked = connect(join(state, "upgrade"));
    asked.write(`${JSON.stringify({ program: ["/nowhere/nex"] })}\n`);
    const [answer] = await once(asked, "data");
    assert.match(String(answer), /the node goes on as before/);
    assert.equal(Buffer.from((await client.call("echo", "")).data).toString(), '"ok"');
    const ended = await node.interrupt();
    assert.equal(ended.status, 0, ended.stderr);
    assert.deepEqual(await client.nodes(), []);
    const none = await home.run(["node", "upgrade", "--state-directory", state]);
    assert.equal(none.status, 4);
    assert.match(none.stderr, /No node runs in the state directory/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
