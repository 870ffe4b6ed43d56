/** A killed node whose workloads end with it leaves nothing for long, and nothing once another one starts in its place. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { connectNex } from "@nexengine/client";
import {
  commandLineOf,
  probeService,
  startTestNatsServer,
  startTestNode,
  unmetSandboxRequirement,
  until,
} from "@nexengine/testing";
import { deploy, issuer } from "./support/counting.ts";
import { entries, isBelow, mounts, Victim } from "./support/victim.ts";

for (const sandbox of ["process", "container"] as const) {
  const unmet = await unmetSandboxRequirement(sandbox);
  describe(`a killed node (${sandbox})`, unmet === undefined ? {} : { skip: unmet }, () => {
    test("leaves nothing once another one has started in its directory (B24)", async () => {
      await using server = await startTestNatsServer();
      await using client = await connectNex({ servers: [server.url] });
      await using victim = new Victim({
        server: server.url,
        ephemeral: true,
        sandbox,
        nodeLostTimeoutMs: 600_000,
      });
      await victim.start();
      await deploy(client, { name: "first" });
      const before = victim.agents();
      assert.ok(before.length >= 1, "an agent runs");
      await victim.end("SIGKILL");
      await victim.start();
      const after = victim.agents();
      assert.deepEqual(
        before.filter((pid) => after.includes(pid)),
        [],
      );
      await deploy(client, { name: "second" });
      assert.equal((await client.call("second", "x")).data.length, 1);
      await victim.end("SIGTERM");
      assert.deepEqual(victim.orphans(), []);
    });

    test("has its machines end by themselves when no other one comes", async () => {
      await using server = await startTestNatsServer();
      await using client = await connectNex({ servers: [server.url] });
      await using victim = new Victim({
        server: server.url,
        ephemeral: true,
        sandbox,
        nodeLostTimeoutMs: 500,
      });
      await victim.start();
      await deploy(client, { name: "lonely" });
      await victim.end("SIGKILL");
      await until(() => victim.agents().length === 0);
      // Their directories are the next node's to remove.
      await victim.start();
      await victim.end("SIGTERM");
      assert.deepEqual(victim.orphans(), []);
    });

    test("leaves nothing, at whatever moment it is killed", async () => {
      await using server = await startTestNatsServer();
      await using victim = new Victim({
        server: server.url,
        ephemeral: true,
        sandbox,
        nodeLostTimeoutMs: 600_000,
      });
      for (const momentMs of [150, 300, 400, 500, 600, 750]) {
        victim.launch();
        await new Promise((resolve) => setTimeout(resolve, momentMs));
        await victim.end("SIGKILL");
      }
      await victim.start();
      await victim.end("SIGTERM");
      assert.deepEqual(victim.orphans(), []);
    });
  });

  describe(`a node (${sandbox})`, unmet === undefined ? {} : { skip: unmet }, () => {
    test("gives back descriptors, mounts and processes of five machines, one after the other", async () => {
      await using server = await startTestNatsServer();
      await using client = await connectNex({ servers: [server.url] });
      const held = (): string => [entries("/proc/self/fd").length, mounts().length].join(" ");
      // Descriptors that are opened once stay open: the first node is not counted.
      await using first = await startTestNode({ server: server.url, sandbox });
      await first.stop();
      const before = held();
      await using node = await startTestNode({ server: server.url, sandbox });
      for (let round = 0; round < 5; round++) {
        const { nodeId, id: workloadId, name } = await deploy(client, { name: "again" });
        assert.equal((await client.call("again", "x")).data.length, 1);
        await client.stop({ nodeId, workloadId, name, issuer });
      }
      await node.stop();
      await until(() => held() === before);
    });
  });
}

/** The services that run in a node's machines, by what their arguments say. */
function services(directory: string, word: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && commandLineOf(name).includes(`\0${word}\0`))
    .filter((pid) => isBelow(pid, directory))
    .map(Number);
}

/** How many processes wait for the end of this service's agent. */
function survivors(service: number | undefined): number {
  const ending = `\0nex-survivor\0${service}\0`;
  return readdirSync("/proc").filter((name) => commandLineOf(name).endsWith(ending)).length;
}

const probe = await probeService();
const withProbe = probe === undefined ? { skip: "no C compiler builds the probe here" } : {};

test(
  "services of a killed node (process) get SIGINT and are killed after their grace",
  withProbe,
  async () => {
    await using server = await startTestNatsServer();
    await using client = await connectNex({ servers: [server.url] });
    await using victim = new Victim({
      server: server.url,
      ephemeral: true,
      sandbox: "process",
      nodeLostTimeoutMs: 600_000,
    });
    await victim.start();
    const artifact = { path: probe?.path ?? "" };
    const run = (name: string, argv: string[]) => deploy(client, { name, type: "native", artifact, argv });
    await run("mild", ["mild", "wait"]);
    await run("stubborn", ["stubborn", "child", "wait"]);
    await until(() => services(victim.directory, "stubborn").length === 2);
    const [mild] = services(victim.directory, "mild");
    assert.ok(survivors(mild) > 0, "something waits for the end of its agent");
    await victim.end("SIGKILL");
    const killedAt = performance.now();
    await until(() => services(victim.directory, "mild").length === 0);
    await until(() => services(victim.directory, "stubborn").length === 0);
    // The grace is 1.5 s; the rest is for a slow host.
    assert.ok(performance.now() - killedAt < 10_000, "they end long before anybody else ends them");
    await until(() => survivors(mild) === 0);
    await victim.start();
    await victim.end("SIGTERM");
    assert.deepEqual(victim.orphans(), []);
  },
);

test("a state directory has one node at a time", async () => {
  await using server = await startTestNatsServer();
  const directory = mkdtempSync(join(tmpdir(), "nex-state-"));
  try {
    await using first = await startTestNode({ server: server.url, directory });
    await assert.rejects(startTestNode({ server: server.url, directory }), {
      code: "state_locked",
      message: /another node uses it/,
    });
    await first.stop();
    await using second = await startTestNode({ server: server.url, directory });
    assert.equal(second.id, first.id, "it comes back as itself");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("nodes without a directory of their own take numbered ones, and clear those that are abandoned", async () => {
  await using server = await startTestNatsServer();
  const nodesDirectory = mkdtempSync(join(tmpdir(), "nex-nodes-"));
  try {
    await using first = await startTestNode({ server: server.url, nodesDirectory });
    await using second = await startTestNode({ server: server.url, nodesDirectory });
    assert.notEqual(first.id, second.id);
    assert.deepEqual(entries(nodesDirectory).sort(), ["1", "2"]);
  } finally {
    rmSync(nodesDirectory, { recursive: true, force: true });
  }
});
