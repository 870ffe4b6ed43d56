/** Trouble of a node's own: a thread that stood still, a disk that is full, functions that fail at length. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { FrameConnection, FrameType } from "@nexengine/protocol/agent";
import { probeService, startTestNexus } from "@nexengine/testing";
import { pino } from "pino";
import { AgentClient } from "../packages/node/src/agent-client/agent-client.ts";
import { Artifacts } from "../packages/node/src/artifacts/artifacts.ts";
import { Budget } from "../packages/node/src/budget/budget.ts";
import { commandLineOf, eventually } from "../packages/testing/src/observe.ts";

/** Keeps the thread busy. */
function stall(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test("an agent that has answered a ping while the node stood still counts as alive", async () => {
  const [ours, theirs] = duplexPair();
  const agent = new FrameConnection(theirs, {
    frame: (type, _flags, id) => {
      if (type !== FrameType.ping) return;
      agent.send(FrameType.pong, 0, id);
      agent.flush();
    },
    end: () => undefined,
  });
  const budget = new Budget({ bootsMax: 1, unsentBytesMax: 1 });
  const events = { log: () => undefined, exited: () => undefined, ended: () => undefined };
  const client = new AgentClient(ours, events, budget.ofMachine());
  for (let round = 0; round < 5; round++) {
    const alive = client.ping(5);
    stall(40);
    assert.equal(await alive, true, `round ${round}`);
  }
  client.close();
});

test("an agent that does not answer a ping is silent, also when the node stood still meanwhile", async () => {
  const [ours] = duplexPair();
  const budget = new Budget({ bootsMax: 1, unsentBytesMax: 1 });
  const events = { log: () => undefined, exited: () => undefined, ended: () => undefined };
  const client = new AgentClient(ours, events, budget.ofMachine());
  const alive = client.ping(5);
  stall(40);
  assert.equal(await alive, false);
  client.close();
});

test("innocent calls live on while the node's thread stands still again and again", async () => {
  await using nexus = await startTestNexus({ tuning: { callTimeMs: 200, deadlineGraceMs: 5 } });
  await nexus.function("async (s, p) => p.length > 0 ? new Promise(() => {}) : 'fine'", {
    name: "f",
    concurrency: 8,
  });
  let stalls = 0;
  const stalling = setInterval(() => {
    stalls++;
    stall(25);
  }, 30);
  try {
    for (let round = 0; round < 10; round++) {
      const hung = nexus.call("f", "x").then(
        () => assert.fail("it was answered"),
        (error: { code: string }) => error.code,
      );
      const answers = await Promise.all(Array.from({ length: 10 }, () => nexus.call("f")));
      assert.deepEqual(new Set(answers), new Set(['"fine"']));
      assert.equal(await hung, "function_timed_out");
    }
  } finally {
    clearInterval(stalling);
  }
  assert.ok(stalls > 10);
  assert.equal(
    (await nexus.client.info(nexus.node.id)).machines[0]?.nex?.restarts,
    0,
    "its machine was ended",
  );
});

test("a function that throws 16 KB of text, or logs it, loses neither its machine nor the calls beside it", async () => {
  await using nexus = await startTestNexus();
  const source = `module.exports = async (s, p) => {
    const text = "é".repeat(16_384);
    if (p.length === 1) throw new Error(text);
    if (p.length === 2) console.log(text);
    if (p.length === 3) throw { toString: () => text };
    return "fine";
  };`;
  await nexus.function(source, { name: "f", globals: "keep" });
  const beside = Array.from({ length: 20 }, () => nexus.call("f"));
  for (const payload of ["x", "xxx"])
    await assert.rejects(nexus.call("f", payload), { code: "function_threw" });
  assert.equal(await nexus.call("f", "xx"), '"fine"');
  assert.deepEqual(new Set(await Promise.all(beside)), new Set(['"fine"']));
  assert.equal((await nexus.client.info(nexus.node.id)).machines[0]?.nex?.restarts, 0);
});

test("host calls of 90 MB in parallel don't end an honest function", async () => {
  await using nexus = await startTestNexus({ tuning: { callTimeMs: 60_000 } });
  const source = `module.exports = async () => {
    const payload = new Uint8Array(900_000);
    const calls = Array.from({ length: 100 }, () =>
      hostServices.promises.messaging.request("nobody.answers", payload).then(() => 0, (error) => error.code ?? 1));
    const codes = await Promise.all(calls);
    return codes.length;
  };`;
  await nexus.function(source, { name: "f", globals: "keep" });
  assert.equal(await nexus.call("f"), "100");
  assert.equal((await nexus.client.info(nexus.node.id)).machines[0]?.nex?.restarts, 0);
});

const probe = await probeService();
const canMount = process.getuid?.() === 0 && process.platform === "linux";

for (const [what, bytes] of [
  ["an artifact", 1_000_000],
  // Its one chunk is written in part before the disk is full, which is no error of the write.
  ["an artifact of one chunk", 100_000],
] as const) {
  test(`${what} for which the disk has no room is refused, and nothing of it stays`, {
    skip: canMount ? false : "only root can mount a small disk",
  }, async () => {
    await using nexus = await startTestNexus();
    const folder = mkdtempSync(join(tmpdir(), "nex-test-disk-"));
    const directory = join(folder, "small");
    mkdirSync(directory);
    assert.equal(spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", directory]).status, 0);
    try {
      const { bucket, key } = await nexus.client.upload({ bytes: Buffer.alloc(bytes, 1) }, { key: "large" });
      const artifacts = new Artifacts(directory, 10_000);
      await assert.rejects(
        artifacts.fetch(nexus.client.connection, {
          ...{ id: "w1", bucket, key, bytesMax: 2_000_000, type: "v8" },
          reserve: () => undefined,
        }),
        { code: "artifact_unavailable", message: /ENOSPC/ },
      );
      assert.deepEqual(readdirSync(directory), []);
    } finally {
      assert.equal(spawnSync("umount", [directory]).status, 0);
      rmSync(folder, { recursive: true });
    }
  });
}

test("what can't be released of a workload that ends is logged, and the workload has ended all the same", async () => {
  const errors: { name: string; reason: string; msg: string }[] = [];
  const log = pino({ level: "error" }, { write: (line: string) => void errors.push(JSON.parse(line)) });
  const directory = mkdtempSync(join(tmpdir(), "nex-test-release-"));
  try {
    await using nexus = await startTestNexus({ directory, log });
    const deployments = [await nexus.function("() => 1", { name: "stopped" })];
    if (probe !== undefined) deployments.push(await nexus.probe(["wait"], { name: "exits" }));
    // A file is removed, and a folder in its place is not.
    for (const name of readdirSync(join(directory, "artifacts"))) {
      const path = join(directory, "artifacts", name);
      rmSync(path);
      mkdirSync(path);
    }
    const [first, service] = deployments;
    if (first !== undefined) await nexus.stop(first);
    if (service !== undefined) {
      const pid = readdirSync("/proc").find((one) => commandLineOf(one).startsWith(`${service.name}\0wait`));
      process.kill(Number(pid), "SIGKILL");
    }
    const ended = await eventually(async () => {
      const all = await nexus.client.endedWorkloads();
      return all.length === deployments.length ? all : undefined;
    });
    assert.deepEqual(ended.map(({ name }) => name).sort(), deployments.map(({ name }) => name).sort());
    assert.deepEqual(
      errors.map(({ name, msg }) => [name, msg]),
      deployments.map(({ name }) => [name, "something of a workload is left"]),
    );
    for (const { reason } of errors) assert.match(reason, /EISDIR/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("neither a deploy nor a function that reads objects leaves a consumer on their streams", async () => {
  await using nexus = await startTestNexus();
  const source = `async () => {
    await hostServices.promises.objectStore.put("large", new Uint8Array(500_000));
    const read = await hostServices.promises.objectStore.get("large");
    return String(read.length);
  }`;
  await nexus.function(source, { name: "f" });
  assert.equal(await nexus.call("f"), '"500000"');
  const manager = await jetstreamManager(nexus.client.connection);
  const consumers = async (): Promise<number> => {
    let count = 0;
    for await (const { state } of manager.streams.list()) count += state.consumer_count;
    return count;
  };
  await eventually(async () => ((await consumers()) === 0 ? true : undefined));
});
