/** The main job, end to end: a real nats-server, a real node, real agents. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { toNexError } from "@nexengine/protocol/errors";
import { daemonsRunning, newSigner, probeService, startTestNexus } from "@nexengine/testing";
import { pino } from "pino";

const probe = await probeService();

/** Other tests run at the same time; what is looked for here is this one's. */
const ownTemporary = mkdtempSync(join(tmpdir(), "nex-main-job-"));
process.env["TMPDIR"] = ownTemporary;
after(() => rmSync(ownTemporary, { recursive: true, force: true }));

describe("trust", () => {
  test("only the issuer that started a workload stops it, and another namespace does not see it", async () => {
    await using nexus = await startTestNexus();
    const deployment = await nexus.function("() => 1", { name: "mine" });
    await assert.rejects(nexus.stop(deployment, newSigner()), { code: "stop_issuer_mismatch" });
    const { nodeId, id: workloadId, name } = deployment;
    const other = nexus.inNamespace("other");
    await assert.rejects(other.stop({ nodeId, workloadId, name, issuer: nexus.issuer }), {
      code: "no_such_workload",
      message: "No such workload",
    });
    assert.deepEqual(await other.workloadDetails(), []);
    assert.equal(await nexus.call("mine"), "1");
    await nexus.stop(deployment);
    await assert.rejects(nexus.stop(deployment), { code: "no_such_workload" });
  });

  test("the node's log says who deployed and who stopped what", async () => {
    const lines: Record<string, unknown>[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
    await using nexus = await startTestNexus({ log });
    const deployment = await nexus.function("() => 1", { name: "known" });
    await nexus.stop(deployment);
    for (const msg of ["deploy accepted", "stop accepted"]) {
      const { name, namespace, issuer } = lines.find((line) => line["msg"] === msg) ?? {};
      assert.deepEqual([name, namespace, issuer], ["known", "default", nexus.issuer.publicKey], msg);
    }
  });

  test("the node compares the signed digest with what it was given (S1)", async () => {
    await using nexus = await startTestNexus();
    const { bucket, key } = await nexus.client.upload({ bytes: Buffer.from("() => 1") }, { key: "swapped" });
    await assert.rejects(
      nexus.deploy(
        { bucket, key, sha256: "0".repeat(64) },
        { name: "swapped", type: "v8", triggerSubjects: ["swapped"] },
      ),
      { code: "artifact_digest_mismatch" },
    );
    assert.deepEqual(await nexus.client.workloadDetails(), []);
  });

  test("a node with valid issuers refuses others", async () => {
    const mine = newSigner();
    await using nexus = await startTestNexus({ config: { valid_issuers: [mine.publicKey] } });
    await assert.rejects(nexus.function("() => 1"), {
      code: "no_node",
      message: /does not accept this issuer/,
    });
    const node = nexus.node.id;
    await assert.rejects(nexus.function("() => 1", { node }), { code: "issuer_not_allowed" });
    await nexus.function("() => 1", { issuer: mine });
  });
});

describe("limits of the node", () => {
  test("concurrent deploys don't pass max_workloads together (B21)", async () => {
    await using nexus = await startTestNexus({
      config: { node_limits: { max_workloads: 2 }, machine_pool_size: 2 },
    });
    const node = nexus.node.id;
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, () => nexus.function("() => 1", { node })),
    );
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 2);
    for (const result of results)
      if (result.status === "rejected") assert.equal(result.reason.code, "workload_limit");
    await assert.rejects(nexus.function("() => 1"), { code: "no_node" });
  });

  test("max_workload_bytes and max_total_bytes refuse before anything starts (B18)", async () => {
    await using nexus = await startTestNexus({
      config: { node_limits: { max_workload_bytes: 60, max_total_bytes: 70 } },
    });
    const node = nexus.node.id;
    const tooLong = `() => "${"x".repeat(100)}"`;
    await assert.rejects(nexus.function(tooLong), { code: "no_node", message: /an artifact of 108 bytes/ });
    await assert.rejects(nexus.function(tooLong, { node }), { code: "artifact_too_large" });
    await nexus.function(`() => "${"x".repeat(40)}"`);
    await assert.rejects(nexus.function(`() => "${"x".repeat(40)}"`), {
      code: "artifact_too_large",
      message: /total/,
    });
    assert.equal((await nexus.client.workloadDetails()).length, 1);
  });

  test("two deploys at once don't pass max_total_bytes together, before a byte of either has come", async () => {
    await using nexus = await startTestNexus({
      config: { node_limits: { max_total_bytes: 70 }, machine_pool_size: 2 },
    });
    const { connection } = nexus.client;
    const bytes = Buffer.from(`() => "${"x".repeat(40)}"`);
    const jsm = await jetstreamManager(connection);
    // A store that is slow: it has told the sizes, and its chunks come later.
    const stored = await Promise.all(
      ["one", "two"].map(async (key) => {
        const { bucket, sha256 } = await nexus.client.upload({ bytes }, { key });
        const nuid = (await (await new Objm(connection).open(bucket)).info(key))?.nuid;
        const chunks = `$O.${bucket}.C.${nuid}`;
        await jsm.streams.purge(`OBJ_${bucket}`, { filter: chunks });
        return { artifact: { bucket, key, sha256 }, chunks };
      }),
    );
    const outcomes = stored.map(async ({ artifact, chunks }) => {
      const options = { name: artifact.key, type: "v8", triggerSubjects: [artifact.key] } as const;
      try {
        await nexus.deploy(artifact, { ...options, node: nexus.node.id });
        return "runs";
      } catch (error) {
        for (const other of stored) if (other.chunks !== chunks) connection.publish(other.chunks, bytes);
        const { code, message } = toNexError(error);
        return `${code}: ${message}`;
      }
    });
    const [refused, runs] = (await Promise.all(outcomes)).sort();
    assert.match(refused ?? "", /^artifact_too_large: .* total limitations/);
    assert.equal(runs, "runs");
  });

  test("denied trigger subjects are refused, the built-in ones too", async () => {
    await using nexus = await startTestNexus({ config: { deny_trigger_subjects: ["secret.>"] } });
    for (const subject of [
      "secret.a",
      "secret.*",
      "*.a",
      ">",
      "*",
      "$JS.foo",
      "$SYS.x",
      "$NEX.PING",
      "$O.b",
      "_INBOX.>",
      "_INBOX.*.*",
    ]) {
      await assert.rejects(
        nexus.function("() => 1", { triggerSubjects: [subject] }),
        { code: "trigger_denied" },
        subject,
      );
    }
    await nexus.function("() => 1", { triggerSubjects: ["public.a"] });
  });

  test("workload types, tags and the lame duck mode are held", async () => {
    await using nexus = await startTestNexus({ config: { workload_types: ["v8"], tags: { zone: "b" } } });
    const { node } = nexus;
    const service = { bucket: "b", key: "k", sha256: "0".repeat(64) };
    await assert.rejects(nexus.deploy(service, { name: "n", type: "native" }), { code: "no_node" });
    await assert.rejects(nexus.deploy(service, { name: "n", type: "native", node: node.id }), {
      code: "unsupported_type",
    });
    await assert.rejects(nexus.function("() => 1", { tags: { zone: "a" } }), { code: "no_node" });
    const running = await nexus.function("() => 1", { tags: { zone: "B" }, name: "zoned" });
    assert.deepEqual(await nexus.client.lameDuck(node.id), { node_id: node.id, success: true });
    assert.deepEqual(await nexus.client.auction(), []);
    await assert.rejects(nexus.function("() => 1", { node: node.id }), { code: "lame_duck" });
    assert.equal((await nexus.client.nodes())[0]?.tags?.["nex.lameduck"], "true");
    assert.equal(await nexus.call("zoned"), "1");
    await nexus.stop(running);
  });
});

describe("what can't run", () => {
  const sourceCases: [what: string, source: string, message: RegExp][] = [
    ["a syntax error", "(s) => {", /syntax error/],
    ["no function", "42", /no function/],
    ["a throw at the start", "throw new Error('x')", /can't be evaluated/],
  ];
  test("a script that is none is refused by name, and nothing of it is left (B19)", async () => {
    await using nexus = await startTestNexus();
    for (const [what, source, message] of sourceCases) {
      await assert.rejects(nexus.function(source), { code: "workload_rejected", message }, what);
    }
    assert.deepEqual(await nexus.client.workloadDetails(), []);
    await nexus.function("() => 1");
  });

  test("a missing bucket, a missing object and JetStream switched off are told apart", async () => {
    await using nexus = await startTestNexus();
    const node = nexus.node.id;
    const options = { name: "gone", type: "v8", triggerSubjects: ["gone"], node } as const;
    const sha256 = "0".repeat(64);
    await assert.rejects(nexus.deploy({ bucket: "none", key: "k", sha256 }, options), {
      code: "artifact_not_found",
      message: /stream not found/,
    });
    await nexus.client.upload({ bytes: Buffer.from("x") }, { key: "there" });
    await assert.rejects(nexus.deploy({ bucket: "NEXCLIFILES", key: "k", sha256 }, options), {
      code: "artifact_not_found",
      message: /object not found/,
    });
    await using plain = await startTestNexus({ natsServer: { jetstream: false } });
    await assert.rejects(
      plain.deploy({ bucket: "b", key: "k", sha256 }, { ...options, node: plain.node.id }),
      { code: "artifact_unavailable", message: /JetStream is not enabled/ },
    );
  });

  test("a dynamic executable is refused by the client and by the node (S14)", async () => {
    await using nexus = await startTestNexus();
    await assert.rejects(nexus.deploy({ path: process.execPath }, { name: "dynamic", type: "native" }), {
      code: "artifact_invalid",
      message: /dynamically linked/,
    });
    const { bucket, key } = await nexus.client.upload({ path: process.execPath }, { key: "dynamic" });
    await assert.rejects(nexus.deploy({ bucket, key }, { name: "dynamic", type: "native" }), {
      code: "artifact_invalid",
      message: /dynamically linked/,
    });
  });
});

describe("the end of a node", () => {
  test("undeploys everything, says so, and leaves no process and no file (B24)", async () => {
    await using nexus = await startTestNexus();
    await nexus.function("() => 1", { name: "one" });
    if (probe !== undefined) await nexus.probe(["daemon", "wait"]);
    await using feed = nexus.client.events();
    await nexus.client.flush();
    await nexus.node.stop();
    const types: string[] = [];
    for await (const { type } of feed) {
      types.push(type);
      if (type === "node_stopped") break;
    }
    assert.deepEqual(types, [
      ...Array(probe === undefined ? 1 : 2).fill("workload_undeployed"),
      "node_stopped",
    ]);
    assert.deepEqual(await nexus.client.nodes({ timeoutMs: 300 }), []);
    assert.equal(daemonsRunning(), 0);
    assert.deepEqual(
      readdirSync(ownTemporary).filter((name) => name.startsWith("nex-node-")),
      [],
    );
  });

  test("a node outlives its server, and takes deploys and calls when it is back", async () => {
    await using nexus = await startTestNexus();
    await nexus.function("(s, p) => p", { name: "survivor" });
    await nexus.server.restart();
    const deadline = Date.now() + 20_000;
    for (;;) {
      // Messages sent while the connection is down are lost, so each try is short.
      const reply = await nexus.client
        .call("survivor", "back", { timeoutMs: 500 })
        .catch((error: Error) => error);
      if (!(reply instanceof Error)) break;
      assert.ok(Date.now() < deadline, reply.message);
    }
    await nexus.function("() => 2", { name: "second" });
    assert.equal(await nexus.call("second"), "2");
  });
});
