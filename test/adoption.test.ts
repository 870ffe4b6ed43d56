/** Workloads outlive their node: what still runs is taken over, and the rest is started again from its record. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { connectNex } from "@nexengine/client";
import type { MachineInfo } from "@nexengine/protocol";
import {
  commandLineOf,
  echoService,
  newSigner,
  probeService,
  startTestNatsServer,
  startTestNode,
  unmetSandboxRequirement,
  until,
} from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { call, counter, deploy, issuer, workloads } from "./support/counting.ts";
import { entries, Victim } from "./support/victim.ts";

/** A server, a client and a node to kill. */
async function bench(
  sandbox: "process" | "container",
  options: Partial<ConstructorParameters<typeof Victim>[0]> = {},
) {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestNatsServer());
  const client = stack.use(await connectNex({ servers: [server.url] }));
  const victim = stack.use(
    new Victim({ server: server.url, sandbox, nodeLostTimeoutMs: 600_000, ...options }),
  );
  await victim.start();
  const moved = stack.move();
  return { server, client, victim, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

/** Processes of this host whose command line contains this. */
function processes(part: string): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && commandLineOf(name).includes(part));
}

const unmetContainer = await unmetSandboxRequirement("container");
const echo = await echoService();
const probe = await probeService();

describe("a killed node (container)", unmetContainer === undefined ? {} : { skip: unmetContainer }, () => {
  test("is followed by one that takes its functions over, with their state", async () => {
    await using made = await bench("container");
    const { client, victim } = made;
    const { id } = await deploy(client, { name: "count" });
    assert.deepEqual([await call(client, "count"), await call(client, "count")], ["1", "2"]);
    for (const expected of ["3", "4", "5"]) {
      const agents = victim.agents();
      await victim.end("SIGKILL");
      await victim.start();
      assert.equal(await call(client, "count"), expected);
      const [workload] = await workloads(client);
      assert.equal(workload?.id, id);
      assert.ok(victim.agents().some((pid) => agents.includes(pid)));
    }
    await client.stop({
      nodeId: (await client.nodes())[0]?.node_id ?? "",
      workloadId: id,
      name: "count",
      issuer,
    });
    await victim.end("SIGTERM");
    assert.deepEqual(victim.orphans(), []);
  });

  test("is followed by one that answers new calls although an old one still runs", async () => {
    await using made = await bench("container");
    const { client, victim } = made;
    const source = `module.exports = async (s, p) => {
      if (p.length > 0) await new Promise((resolve) => setTimeout(resolve, 3000));
      return "done " + p.length; };`;
    await deploy(client, { name: "slow", artifact: { bytes: Buffer.from(source) } });
    const lost = client.call("slow", "x", { timeoutMs: 8_000 }).catch((error: Error) => error);
    await client.flush();
    await call(client, "slow");
    await victim.end("SIGKILL");
    await victim.start();
    assert.equal(await call(client, "slow"), `"done 0"`);
    // Its asker was the business of the dead node; it must not hear another call's reply.
    assert.ok((await lost) instanceof Error);
  });

  test("is followed by one that takes services over, whose connections to NATS are made anew", async (context) => {
    if (echo === undefined || probe === undefined) return context.skip("no C compiler builds services here");
    await using made = await bench("container");
    const { server, client, victim } = made;
    const waiting = await deploy(client, {
      name: "waiting",
      type: "native",
      artifact: { path: probe.path },
      argv: ["adopted", "wait"],
    });
    // It ends with its connection, so its restart policy brings it back.
    const ending = await deploy(client, {
      name: "echo",
      type: "native",
      artifact: { path: echo.path },
      environment: { NATS_URL: server.url },
      restart: { policy: "always" },
    });
    const asked = (): Promise<string | undefined> => call(client, "echo.service").catch(() => undefined);
    await eventually(asked);
    const pids = processes("\0adopted\0wait\0");
    await victim.end("SIGKILL");
    await victim.start();
    await eventually(asked);
    assert.deepEqual([pids.length, processes("\0adopted\0wait\0")], [1, pids]);
    const all = await workloads(client);
    const restarts = (id: string): number => all.find((one) => one.id === id)?.nex?.restarts ?? 0;
    assert.deepEqual([restarts(waiting.id), restarts(ending.id)], [0, 1]);
  });

  test("is followed by one that gives a published port again", async (context) => {
    await using made = await bench("container");
    const { client, victim } = made;
    if (probe === undefined) return context.skip("no C compiler builds the service here");
    const { published } = await deploy(client, {
      name: "ports",
      type: "native",
      artifact: { path: probe.path },
      argv: ["wait"],
      limits: { publish: [{ machinePort: 18_080 }] },
    });
    const port = published[0]?.host_port ?? 0;
    assert.ok(port > 0);
    await victim.end("SIGKILL");
    await victim.start();
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
  });

  test("is followed by one that hears how a workload ended meanwhile", async (context) => {
    if (probe === undefined) return context.skip("no C compiler builds the service here");
    await using made = await bench("container");
    const { client, victim } = made;
    const { id } = await deploy(client, {
      name: "brief",
      type: "native",
      artifact: { path: probe.path },
      argv: ["sleep", "1000", "out", "said while nobody heard", "exit", "7"],
    });
    await victim.end("SIGKILL");
    await until(() => processes("\0exit\x007\0").length === 0);
    await victim.start();
    const node = (await client.nodes())[0]?.node_id ?? "";
    const ended = await eventually(
      async () => (await client.info(node, undefined, { ended: true })).nex?.ended?.[0],
    );
    assert.deepEqual([ended.id, ended.code], [id, 7]);
    assert.ok(ended.lines.some(({ text }) => text === "said while nobody heard"));
    await victim.end("SIGTERM");
    assert.deepEqual(entries(join(victim.directory, "deploys")), []);
  });

  test("is followed by one that starts those again whose machine is gone, as of their record", async () => {
    await using made = await bench("container");
    const { client, victim } = made;
    const { id } = await deploy(client, { name: "gone", environment: { A: "1" } });
    const agents = victim.agents();
    await victim.end("SIGKILL");
    for (const pid of agents) process.kill(pid, "SIGKILL");
    await victim.start();
    assert.equal(await eventually(() => call(client, "gone").catch(() => undefined)), "1");
    const [workload] = await workloads(client);
    assert.deepEqual([workload?.id, workload?.nex?.restarts], [id, 1]);
    const node = (await client.nodes())[0]?.node_id ?? "";
    await client.stop({ nodeId: node, workloadId: id, name: "gone", issuer });
    await victim.end("SIGTERM");
    assert.deepEqual(victim.orphans(), []);
  });

  test("is followed by one that leaves the machine of an unreadable record to one that can read it", async () => {
    await using made = await bench("container");
    const { client, victim } = made;
    const { id } = await deploy(client, { name: "torn" });
    assert.equal(await call(client, "torn"), "1");
    await victim.end("SIGKILL");
    const path = join(victim.directory, "deploys", `${id}.json`);
    const whole = readFileSync(path, "utf8");
    writeFileSync(path, whole.slice(0, 50));
    await victim.start();
    assert.deepEqual(await workloads(client), []);
    await victim.end("SIGKILL");
    writeFileSync(path, whole);
    await victim.start();
    assert.equal(await call(client, "torn"), "2");
  });
});

describe("a node that starts again (process)", () => {
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`runs what was accepted and not stopped, after ${signal}`, async () => {
      await using made = await bench("process");
      const { client, victim } = made;
      const kept = await deploy(client, { name: "kept", replicas: 2 });
      const stopped = await deploy(client, { name: "stopped" });
      await client.stop({ nodeId: stopped.nodeId, workloadId: stopped.id, name: "stopped", issuer });
      await victim.end(signal);
      await victim.start();
      assert.equal(await eventually(() => call(client, "kept").catch(() => undefined)), "1");
      assert.deepEqual(
        (await workloads(client)).map(({ id }) => id),
        [kept.id],
      );
      await assert.rejects(client.call("stopped", ""), { code: "node_not_found" });
    });
  }

  test("lets only the issuer stop what it continues, and forgets it then", async () => {
    await using made = await bench("process");
    const { client, victim } = made;
    const { id, nodeId } = await deploy(client, { name: "mine" });
    await victim.end("SIGKILL");
    await victim.start();
    await assert.rejects(client.stop({ nodeId, workloadId: id, name: "mine", issuer: newSigner() }), {
      code: "stop_issuer_mismatch",
    });
    await client.stop({ nodeId, workloadId: id, name: "mine", issuer });
    await victim.end("SIGKILL");
    await victim.start();
    assert.deepEqual(await workloads(client), []);
    await victim.end("SIGTERM");
    assert.deepEqual(victim.orphans(), []);
  });

  test("reads an artifact again that is gone, and refuses one that has changed", async () => {
    await using made = await bench("process");
    const { client, victim } = made;
    const same = await deploy(client, { name: "same" });
    const bytes = Buffer.from(`${counter}//`);
    const other = await deploy(client, { name: "other", artifact: { bytes }, bucket: "B", key: "other" });
    await victim.end("SIGKILL");
    rmSync(join(victim.directory, "artifacts"), { recursive: true });
    await client.upload({ bytes: Buffer.from("() => 0") }, { bucket: "B", key: "other" });
    await victim.start();
    assert.equal(await eventually(() => call(client, "same").catch(() => undefined)), "1");
    const left = await eventually(async () => {
      const ids = (await workloads(client)).map(({ id }) => id);
      return ids.includes(other.id) ? undefined : ids;
    });
    assert.deepEqual(left, [same.id]);
  });

  test("leaves a record that it can't read, names it, and runs the others", async () => {
    await using made = await bench("process");
    const { client, victim } = made;
    await deploy(client, { name: "fine" });
    const torn = await deploy(client, { name: "torn" });
    await victim.end("SIGKILL");
    const path = join(victim.directory, "deploys", `${torn.id}.json`);
    writeFileSync(path, readFileSync(path, "utf8").slice(0, 50));
    await victim.start();
    assert.equal(await eventually(() => call(client, "fine").catch(() => undefined)), "1");
    assert.equal((await workloads(client)).length, 1);
    assert.equal(readFileSync(path, "utf8").length, 50);
  });

  test("does not start in a directory of a later version, and changes nothing there", async () => {
    await using made = await bench("process");
    const { server, client, victim } = made;
    await deploy(client, { name: "later" });
    await victim.end("SIGKILL");
    const path = join(victim.directory, "state.json");
    const text = JSON.stringify({ version: 2, epoch: 7 });
    writeFileSync(path, text);
    const before = entries(join(victim.directory, "deploys"));
    await assert.rejects(startTestNode({ server: server.url, directory: victim.directory }), {
      code: "state_unusable",
      message: /a later version of Nex has written it/,
    });
    assert.deepEqual(
      [readFileSync(path, "utf8"), entries(join(victim.directory, "deploys"))],
      [text, before],
    );
    rmSync(path);
  });

  test("shows a workload that can't run yet, which its issuer alone can stop", async () => {
    await using made = await bench("process");
    const { client, victim } = made;
    for (const name of ["one", "two", "three"]) await deploy(client, { name });
    await victim.end("SIGKILL");
    victim.options = { ...victim.options, config: { node_limits: { max_workloads: 1 } } };
    await victim.start();
    const all = await workloads(client);
    assert.deepEqual(all.map(({ workload }) => workload.name).sort(), ["one", "three", "two"]);
    const [running, waiting] = [true, false].map((isRunning) =>
      all.filter(({ nex }) => (nex?.state === "running") === isRunning),
    );
    assert.deepEqual([running?.length, waiting?.length], [1, 2]);
    const [stopped, next] = waiting ?? [];
    assert.match(stopped?.nex?.reason ?? "", /it can't run yet: .*maximum/);
    const nodeId = (await client.nodes())[0]?.node_id ?? "";
    const stop = (one: MachineInfo | undefined, by = issuer) =>
      client.stop({ nodeId, workloadId: one?.id ?? "", name: one?.workload.name ?? "", issuer: by });
    await assert.rejects(stop(stopped, newSigner()), { code: "stop_issuer_mismatch" });
    await stop(stopped);
    assert.equal(entries(join(victim.directory, "deploys")).length, 2);
    // A node ends although a workload waits, and the next one shows it again.
    await victim.end("SIGTERM");
    await victim.start();
    // The other one runs as soon as there is room.
    await stop(running?.[0]);
    const [last] = await eventually(async () => {
      const found = await workloads(client);
      return found[0]?.nex?.state === "running" ? found : undefined;
    });
    assert.equal(last?.id, next?.id);
    assert.equal(await call(client, next?.workload.name ?? ""), "1");
  });

  test("continues nothing when it is ephemeral, nor records anything", async () => {
    await using made = await bench("process", { ephemeral: true });
    const { client, victim } = made;
    await deploy(client, { name: "brief" });
    assert.deepEqual(entries(join(victim.directory, "deploys")), []);
    await victim.end("SIGKILL");
    await victim.start();
    assert.deepEqual(await workloads(client), []);
  });

  test("runs each workload of autostart once, also when its entry has changed or is gone", async () => {
    await using server = await startTestNatsServer();
    await using client = await connectNex({ servers: [server.url] });
    await client.upload({ bytes: Buffer.from(counter) }, { bucket: "B", key: "auto" });
    const location = "nats://B/auto";
    const entry = (name: string, description: string) => ({
      ...{ name, description, namespace: "default", type: "v8", location, trigger_subjects: [name] },
    });
    const start = async (workload: ReturnType<typeof entry>[]): Promise<string[]> => {
      await victim.end("SIGKILL");
      victim.options = { ...victim.options, config: { autostart: { workloads: workload } } };
      await victim.start();
      const found = await eventually(async () => {
        const all = await workloads(client);
        return all.length === workload.length ? all : undefined;
      });
      return found.map(({ id }) => id).sort();
    };
    await using victim = new Victim({ server: server.url, sandbox: "process", nodeLostTimeoutMs: 600_000 });
    const first = await start([entry("one", "a"), entry("two", "a")]);
    assert.deepEqual(await start([entry("one", "a"), entry("two", "a")]), first);
    const changed = await start([entry("one", "a"), entry("two", "b")]);
    assert.equal(changed.filter((id) => first.includes(id)).length, 1);
    assert.deepEqual((await start([entry("one", "a")])).length, 1);
  });
});

test("a service that ends at once is not run again by the next node, whose record may be written meanwhile", async (context) => {
  if (probe === undefined) return context.skip("no C compiler builds the service here");
  await using made = await bench("process");
  const { client, victim } = made;
  for (let at = 0; at < 10; at++) {
    const artifact = { path: probe.path };
    await deploy(client, { name: `brief${at}`, type: "native", artifact, argv: ["exit", "0"] });
  }
  await until(() => entries(join(victim.directory, "deploys")).length === 0);
  await victim.end("SIGKILL");
  await victim.start();
  assert.deepEqual(await workloads(client), []);
});

test("an ephemeral node leaves a numbered directory with recorded workloads to the node that continues them", async () => {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  const nodesDirectory = mkdtempSync(join(tmpdir(), "nex-nodes-"));
  const options = { server: server.url, nodesDirectory };
  try {
    {
      await using _ = await startTestNode(options);
      await deploy(client, { name: "lasting" });
    }
    {
      await using _ = await startTestNode({ ...options, ephemeral: true });
      assert.deepEqual(await workloads(client), []);
      assert.deepEqual(entries(nodesDirectory).sort(), ["1", "2"]);
    }
    await using _ = await startTestNode(options);
    assert.equal(await eventually(() => call(client, "lasting").catch(() => undefined)), "1");
  } finally {
    rmSync(nodesDirectory, { recursive: true, force: true });
  }
});
