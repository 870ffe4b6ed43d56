/** Keys of a nexus's owner, on the command line: endorsing nodes, and deploying only to those. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { NatsServer } from "@nexengine/provision";
import { echoFunctionPath, startTestNatsServer } from "@nexengine/testing";
import { startScriptedNode } from "../packages/client/src/testing/scripted-node.ts";
import { type Ended, NexHome, type RunningNex, type RunOptions } from "./support/nex.ts";

const home = new NexHome();
let server: NatsServer;
let ownerFile: string;
let owner: string;

before(async () => {
  server = await startTestNatsServer();
  ownerFile = join(home.path, "owner.nk");
  owner = (await home.run(["keys", "new", "operator", ownerFile])).stdout.trim();
});
after(async () => {
  await server.stop();
  home[Symbol.dispose]();
});

const run = (args: readonly string[], options: RunOptions = {}): Promise<Ended> =>
  home.run([...args, "-s", server.url], options);

/** Starts a node of a state directory, and waits until it runs. @returns it and its id. */
async function startNode(
  directory: string,
  config: object,
  args: readonly string[] = [],
): Promise<{ node: RunningNex; id: string }> {
  const node = home.start([
    ...[
      "node",
      "up",
      "--sandbox",
      "process",
      "-s",
      server.url,
      "--state-directory",
      join(home.path, directory),
    ],
    ...["--config", home.write(`${directory}.json`, config), ...args],
  ]);
  await node.shows(/node runs/);
  return { node, id: /node runs node=(N\w{55})/.exec(node.stderr)?.[1] ?? node.stderr };
}

describe("nex keys", () => {
  test("new operator writes a key for its owner alone, and prints the public one", () => {
    assert.match(owner, /^O[A-Z2-7]{55}$/);
    assert.equal(statSync(ownerFile).mode & 0o777, 0o600);
  });

  test("endorse makes a node one that --endorser, or its variable, deploys to", async () => {
    let id: string;
    {
      const first = await startNode("a", {}, ["--nexus", "prod"]);
      await using _ = first.node;
      ({ id } = first);
      const refused = await run(["devrun", "--endorser", owner, echoFunctionPath]);
      assert.equal(refused.status, 5);
      assert.match(refused.stderr, /Cannot trust node N\w+: nobody has endorsed it/);
    }
    const made = await home.run([
      "keys",
      "endorse",
      id,
      "--nexus",
      "prod",
      "--key",
      ownerFile,
      "--days",
      "2",
    ]);
    assert.deepEqual([made.status, made.stderr.includes(`--endorser ${owner}`)], [0, true]);
    const endorsement = made.stdout.trim();
    const again = await startNode("a", { endorsement }, ["--nexus", "prod"]);
    await using _ = again.node;
    assert.equal(again.id, id);
    const env = { NEX_ENDORSER: owner };
    const deployed = await run(["devrun", echoFunctionPath], { env });
    assert.equal(deployed.status, 0, deployed.stderr);
    assert.equal((await run(["stop", "echo"], { env })).status, 0);
    const elsewhere = await run(["devrun", "--nexus", "staging", echoFunctionPath], { env });
    assert.equal(elsewhere.status, 5);
    assert.match(elsewhere.stderr, /it is endorsed for nexus "prod", not for "staging"/);
    const here = await run(["devrun", echoFunctionPath], { env: { ...env, NEX_NEXUS: "prod" } });
    assert.equal(here.status, 0, here.stderr);
    assert.equal((await run(["stop", "echo"], { env })).status, 0);
  });

  test("endorse refuses what is no node, and no key", async () => {
    const node = await home.run(["keys", "endorse", owner, "--nexus", "prod", "--key", ownerFile]);
    assert.equal(node.status, 2);
    assert.match(node.stderr, /is not the id of a node/);
    const absent = join(home.path, "absent.nk");
    const id = `N${"A".repeat(55)}`;
    const key = await home.run(["keys", "endorse", id, "--nexus", "prod", "--key", absent]);
    assert.notEqual(key.status, 0);
    const nameless = await home.run(["keys", "endorse", id, "--key", ownerFile]);
    assert.equal(nameless.status, 2);
    assert.match(nameless.stderr, /its nexus is not named/);
    const bad = await run(["devrun", "--endorser", "me", echoFunctionPath]);
    assert.equal(bad.status, 2);
    assert.match(bad.stderr, /"me".*is not the public key of an endorser/);
  });
});

describe("nex lameduck", () => {
  test("of an operator ends the node, whose command exits with 0", async () => {
    const { node, id } = await startNode("b", { operators: [owner] });
    await using _ = node;
    assert.equal((await run(["devrun", echoFunctionPath])).status, 0);
    const stranger = join(home.path, "stranger.nk");
    await home.run(["keys", "new", "operator", stranger]);
    const refused = await run(["lameduck", id, "--operator", stranger, "--deadline", "1s"]);
    assert.equal(refused.status, 5);
    assert.match(refused.stderr, /Failed to enter lame duck mode: O\w+ is not one of this node's operators/);
    const asked = await run(["lameduck", id, "--operator", ownerFile, "--deadline", "30s"]);
    assert.equal(asked.status, 0, asked.stderr);
    assert.match(asked.stdout, /at the latest in 30s/);
    assert.equal((await node.ended()).status, 0);
  });

  test("refuses a deadline without an operator, and one that is too far", async () => {
    const id = `N${"A".repeat(55)}`;
    for (const args of [
      ["--deadline", "1s"],
      ["--deadline", "2h", "--operator", ownerFile],
    ]) {
      assert.equal((await run(["lameduck", id, ...args])).status, 2);
    }
  });
});

test("--allow-go-nodes: what goes to a node without our proofs is told in one line, for a deploy and a stop", async () => {
  await using apart = await startTestNatsServer();
  const id = "dc2f2m1ksdudki293gng";
  const machines = [{ id, workload: { name: "fn", type: "v8" } }];
  await using node = await startScriptedNode(apart.url, { extras: false, info: () => ({ machines }) });
  const told = (action: string) =>
    new RegExp(
      `^Node ${node.id} shows neither bound tokens nor a proof .* ${action} of "fn" .* legacy token.*$`,
      "m",
    );
  const s = ["--allow-go-nodes", "-s", apart.url];
  const args = ["devrun", home.write("fn.js", "() => 1;"), "--no-stop", ...s];
  const deployed = await home.run(args);
  assert.equal(deployed.status, 0, deployed.stderr);
  assert.match(deployed.stderr, told("deploy"));
  assert.match(deployed.stderr, /can read the environment$/m);
  const stopped = await home.run(["stop", "fn", ...s]);
  assert.equal(stopped.status, 0, stopped.stderr);
  assert.match(stopped.stderr, told("stop"));
  assert.equal(node.deploys.length + node.stops.length, 2);
});
