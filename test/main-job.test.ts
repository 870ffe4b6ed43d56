/** The main job, end to end: a real nats-server, a real node, real agents. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { newSigner, probeService, startTestNexus, type TestNexus } from "@nexengine/testing";

const probe = await probeService();
const withProbe = probe === undefined ? { skip: "no C compiler builds static executables here" } : {};

/** Waits for a condition; the test runner's limit bounds it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** The next event of a type about a workload. */
async function eventOf(
  nexus: TestNexus,
  type: string,
  act: () => Promise<unknown>,
): Promise<Record<string, unknown>> {
  await using feed = nexus.client.events();
  await nexus.client.flush();
  await act();
  for await (const entry of feed) if (entry.type === type) return entry.event.data ?? {};
  assert.fail(`the feed ended without ${type}`);
}

/** The next log lines, as many as are wanted. */
async function logsOf(nexus: TestNexus, count: number, act: () => Promise<unknown>): Promise<string[]> {
  await using feed = nexus.client.logs();
  await nexus.client.flush();
  await act();
  const lines: string[] = [];
  for await (const { level, text } of feed)
    if (!/^Workload /.test(text) && lines.push(`${level} ${text}`) === count) break;
  return lines;
}

describe("a function", () => {
  test("is deployed, called, listed and stopped, and each is told by an event", async () => {
    await using nexus = await startTestNexus();
    let deployment = await nexus.function("(s, p) => p", { name: "first" });
    await nexus.stop(deployment);
    const deployed = await eventOf(nexus, "workload_deployed", async () => {
      deployment = await nexus.function("(s, p) => p", { name: "echo", description: "says it again" });
    });
    assert.deepEqual(deployed, { workload_name: "echo", code: 0 });
    assert.equal(await nexus.call("echo", "hello"), "hello");
    const [listed] = await nexus.client.workloadDetails();
    assert.equal(listed?.id, deployment.id);
    assert.equal(listed?.workload.description, "says it again");
    assert.equal(listed?.workload.hash, deployment.sha256);
    const ended = await eventOf(nexus, "workload_undeployed", () => nexus.stop(deployment));
    assert.equal(ended["workload_name"], "echo");
    assert.deepEqual(await nexus.client.workloadDetails(), []);
    await assert.rejects(nexus.client.call("echo"), { code: "node_not_found" });
  });

  test("that throws answers its caller at once, and is told of in events and logs", async () => {
    await using nexus = await startTestNexus();
    await nexus.function("() => { throw new RangeError('no further'); }", { name: "thrower" });
    const failed = await eventOf(nexus, "function_exec_failed", () =>
      assert.rejects(nexus.client.call("thrower"), {
        code: "function_threw",
        message: /RangeError: no further/,
      }),
    );
    assert.equal(failed["error"], "RangeError: no further");
  });

  test("in an endless loop is ended at its limit, calls that had not begun are answered, none runs twice", async () => {
    await using nexus = await startTestNexus({ tuning: { callTimeMs: 300 } });
    await nexus.function("export default (s, p) => { if (p.length > 0) for (;;); return 'fine'; }", {
      name: "loop",
    });
    const bad = nexus.client.call("loop", "x");
    const good = [1, 2, 3].map(() => nexus.call("loop"));
    await assert.rejects(bad, { code: "function_timed_out" });
    assert.deepEqual(await Promise.all(good), ['"fine"', '"fine"', '"fine"']);
  });

  test("whose promise never settles loses that call only", async () => {
    await using nexus = await startTestNexus({ tuning: { callTimeMs: 300 } });
    await nexus.function("let n = 0; export default (s, p) => p.length > 0 ? new Promise(() => {}) : ++n", {
      name: "hang",
    });
    await assert.rejects(nexus.client.call("hang", "x"), { code: "function_timed_out" });
    assert.equal(await nexus.call("hang"), "1", "the same machine goes on, with its state");
    assert.equal(await nexus.call("hang"), "2");
  });

  test("that kills its own process fails its calls, and comes back", async () => {
    await using nexus = await startTestNexus();
    const source = `export default (s, p) => { if (p.length === 0) return 1; const hold = []; for (;;) hold.push(new Array(1e6).fill(p)); }`;
    await nexus.function(source, { name: "bomb" });
    await assert.rejects(nexus.client.call("bomb", "x"), { code: /function_(stopped|timed_out)/ });
    assert.equal(await nexus.call("bomb"), "1");
  });

  test("answers 429 when more calls wait than its queue holds, and drops none in silence", async () => {
    await using nexus = await startTestNexus({ tuning: { callQueueMax: 4, callTimeMs: 2_000 } });
    await nexus.function("async () => { await new Promise((r) => setTimeout(r, 50)); return 1; }", {
      name: "slow",
    });
    const answers = await Promise.allSettled(Array.from({ length: 60 }, () => nexus.call("slow")));
    const codes = answers.map((answer) => (answer.status === "fulfilled" ? "ok" : answer.reason.code));
    assert.equal(
      codes.filter((code) => code === "ok").length +
        codes.filter((code) => code === "function_overloaded").length,
      60,
    );
    assert.ok(codes.includes("function_overloaded"));
  });

  test("gets each message once where several copies share a subject", async () => {
    await using nexus = await startTestNexus({ config: { machine_pool_size: 2 } });
    await nexus.function("(s, p) => p", { name: "copy", triggerSubjects: ["shared"] });
    await nexus.function("(s, p) => p", { name: "copy", triggerSubjects: ["shared"] });
    const replies: string[] = [];
    const inbox = "test.replies";
    const subscription = nexus.client.connection.subscribe(inbox, {
      callback: (_, message) => void replies.push(message.string()),
    });
    for (let call = 0; call < 50; call++)
      nexus.client.connection.publish("shared", String(call), { reply: inbox });
    await nexus.call("shared", "last");
    await until(() => replies.length >= 50);
    await nexus.call("shared", "after");
    subscription.unsubscribe();
    assert.deepEqual(
      replies.map(Number).sort((a, b) => a - b),
      Array.from({ length: 50 }, (_, at) => at),
    );
  });

  test("is stopped under load without losing a call that had begun", async () => {
    await using nexus = await startTestNexus();
    const deployment = await nexus.function(
      "export default async () => { await new Promise((r) => setTimeout(r, 30)); return 1; }",
      { name: "busy" },
    );
    const calls = Array.from({ length: 40 }, () => nexus.call("busy"));
    await nexus.client.flush();
    await nexus.call("busy");
    await nexus.stop(deployment);
    assert.deepEqual(await Promise.all(calls), Array(40).fill("1"));
  });

  test("keeps or renews its globals as the deploy says", async () => {
    await using nexus = await startTestNexus();
    await nexus.function("let n = 0; module.exports = () => ++n", { name: "keep" });
    await nexus.function("let n = 0; module.exports = () => ++n", { name: "fresh", globals: "fresh" });
    assert.deepEqual([await nexus.call("keep"), await nexus.call("keep")], ["1", "2"]);
    assert.deepEqual([await nexus.call("fresh"), await nexus.call("fresh")], ["1", "1"]);
  });

  test("sees its environment, which is in no file, argument list or log of the node", async () => {
    const lines: string[] = [];
    const { pino } = await import("pino");
    await using nexus = await startTestNexus({
      log: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
    });
    const secret = "s3cret-of-this-test";
    await nexus.function("export default () => env.TOKEN.length", {
      name: "env",
      environment: { TOKEN: secret },
    });
    assert.equal(await nexus.call("env"), String(secret.length));
    assert.ok(!lines.join("").includes(secret));
    const args = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(commandLineOf);
    assert.ok(!args.some((arg) => arg.includes(secret)));
    assert.ok(!filesBelow(process.env["TMPDIR"] ?? "/tmp").some((text) => text.includes(secret)));
  });
});

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /nex-node-/.test(entry.parentPath))
    .map((entry) => {
      try {
        return readFileSync(`${entry.parentPath}/${entry.name}`, "latin1");
      } catch {
        return "";
      }
    });
}

describe("a service", withProbe, () => {
  test("gets exactly its environment, with upper-cased names, and its arguments", async () => {
    await using nexus = await startTestNexus();
    const lines = await logsOf(nexus, 4, () =>
      nexus.probe(["env", "argv", "wait"], { environment: { nats_url: "nats://x", B: "2" } }),
    );
    assert.deepEqual(
      lines.slice(0, 3).sort(),
      ["INFO B=2", "INFO NATS_URL=nats://x", "INFO end of environment"].sort(),
    );
  });

  test("writes to the logs line by line, errors as ERROR", async () => {
    await using nexus = await startTestNexus();
    const lines = await logsOf(nexus, 3, () =>
      nexus.probe([
        "out",
        "one",
        "sleep",
        "50",
        "err",
        "two",
        "sleep",
        "50",
        "partial",
        "three",
        "sleep",
        "100",
      ]),
    );
    assert.deepEqual(lines, ["INFO one", "ERROR two", "INFO three"]);
  });

  test("that ends by itself is told of with its status, and is gone", async () => {
    await using nexus = await startTestNexus();
    for (const [argv, code] of [
      [["exit", "3"], 3],
      [["signal", "9"], -1],
      [["exit", "0"], 0],
    ] as const) {
      const ended = await eventOf(nexus, "workload_undeployed", () => nexus.probe(["sleep", "50", ...argv]));
      assert.equal(ended["code"], code, argv.join(" "));
    }
    assert.deepEqual(await nexus.client.workloadDetails(), []);
  });

  test("is asked by SIGINT, and forced when it does not listen", async () => {
    await using nexus = await startTestNexus({ tuning: { stopGraceMs: 300 } });
    let deployment = await nexus.probe(["polite", "out", "up", "wait"]);
    const polite = await eventOf(nexus, "workload_undeployed", () => nexus.stop(deployment));
    assert.equal(polite["code"], 7);
    await logsOf(nexus, 1, async () => {
      deployment = await nexus.probe(["stubborn", "wait"]);
    });
    const forced = await eventOf(nexus, "workload_undeployed", () => nexus.stop(deployment));
    assert.equal(forced["code"], -1);
  });

  test("takes its children with it, also one that left its session", async () => {
    await using nexus = await startTestNexus();
    const deployment = await nexus.probe(["child", "daemon", "wait"]);
    await until(() => daemonsRunning() === 3);
    await nexus.stop(deployment);
    assert.equal(daemonsRunning(), 0);
  });

  test("that is essential comes again when it fails, and stays away when it succeeds", async () => {
    await using nexus = await startTestNexus();
    const restarted = await eventOf(nexus, "workload_restarting", () =>
      nexus.probe(["sleep", "20", "exit", "5"], { essential: true }),
    );
    assert.match(String(restarted["reason"]), /status 5/);
    const [running] = await nexus.client.workloadDetails();
    assert.ok(running !== undefined);
    await nexus.client.stop({
      nodeId: running.nodeId,
      workloadId: running.id,
      name: running.workload.name,
      issuer: nexus.issuer,
    });
    const ended = await eventOf(nexus, "workload_undeployed", () =>
      nexus.probe(["sleep", "20", "exit", "0"], { essential: true }),
    );
    assert.equal(ended["code"], 0);
  });

  test("whose environment names become one in upper case is refused", async () => {
    await using nexus = await startTestNexus();
    await assert.rejects(nexus.probe(["wait"], { environment: { a: "1", A: "2" } }), {
      code: "workload_rejected",
      message: /two environment names become A/,
    });
    assert.deepEqual(await nexus.client.workloadDetails(), []);
  });
});

/** Processes of a probe that was told to start a daemon. */
function daemonsRunning(): number {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && /^s\d+\0.*daemon/.test(commandLineOf(pid)))
    .length;
}

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

  test("the node compares the signed digest with what it was given", async () => {
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
    await assert.rejects(nexus.function("() => 1"), { code: "issuer_not_allowed" });
    await nexus.function("() => 1", { issuer: mine });
  });
});

describe("limits of the node", () => {
  test("concurrent deploys don't pass max_workloads together", async () => {
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

  test("max_workload_bytes and max_total_bytes refuse before anything starts", async () => {
    await using nexus = await startTestNexus({
      config: { node_limits: { max_workload_bytes: 60, max_total_bytes: 70 } },
    });
    await assert.rejects(nexus.function(`() => "${"x".repeat(100)}"`), { code: "artifact_too_large" });
    await nexus.function(`() => "${"x".repeat(40)}"`);
    await assert.rejects(nexus.function(`() => "${"x".repeat(40)}"`), {
      code: "artifact_too_large",
      message: /total/,
    });
    assert.equal((await nexus.client.workloadDetails()).length, 1);
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
  test("a script that is none is refused by name, and nothing of it is left", async () => {
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

  test("a dynamic executable is refused by the client and by the node", async () => {
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
  test("undeploys everything, says so, and leaves no process and no file", async () => {
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
      readdirSync(process.env["TMPDIR"] ?? "/tmp").filter((name) => name.startsWith("nex-node-")),
      [],
    );
  });

  test("a node outlives its server, and takes deploys and calls when it is back", async () => {
    await using nexus = await startTestNexus();
    await nexus.function("(s, p) => p", { name: "survivor" });
    await nexus.server.restart();
    const deadline = Date.now() + 20_000;
    for (;;) {
      // What is sent while the connection is down is lost, so each try is short.
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
