/**
 * The contract of every kind of machine with the workloads in it, end to end: a real nats-server, node and agent. Each
 * kind runs the same tests. Only isolating kinds run those about isolation.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, test } from "node:test";
import type { SandboxKind } from "@nexengine/machines";
import { startTestNexus as startNexus, type TestNexus, type TestNexusOptions } from "./nexus.ts";
import { commandLineOf, daemonsRunning, eventOf, filesBelow, logsOf, until } from "./observe.ts";
import { probeService } from "./samples.ts";

/** Emulated machines boot for seconds, and are slow in all that they do. */
const emulation = {
  slowness: 10,
  tuning: {
    machineWaitMs: 100_000,
    callTimeMs: 20_000,
    deployTimeMs: 60_000,
    callDrainMs: 20_000,
    stopGraceMs: 15_000,
  },
};

/** Declares the tests for one kind of machine. */
export async function testMachines(sandbox: SandboxKind): Promise<void> {
  const withProbe =
    (await probeService()) === undefined ? { skip: "no C compiler builds static executables here" } : {};
  const isMicroVm = sandbox === "qemu" || sandbox === "firecracker";
  const ownProcesses = isMicroVm ? { skip: "its processes are not the host's" } : {};
  const { slowness, tuning } = isMicroVm ? emulation : { slowness: 1, tuning: {} };
  const startTestNexus = (options: TestNexusOptions = {}): Promise<TestNexus> =>
    startNexus({ sandbox, ...options, tuning: { ...tuning, ...options.tuning } });

  describe(`a function (${sandbox})`, () => {
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
      await using nexus = await startTestNexus({ tuning: { callTimeMs: 300 * slowness } });
      await nexus.function("export default (s, p) => { if (p.length > 0) for (;;); return 'fine'; }", {
        name: "loop",
      });
      const bad = nexus.client.call("loop", "x");
      const good = [1, 2, 3].map(() => nexus.call("loop"));
      await assert.rejects(bad, { code: "function_timed_out" });
      assert.deepEqual(await Promise.all(good), ['"fine"', '"fine"', '"fine"']);
    });

    test("whose promise never settles loses that call only", async () => {
      await using nexus = await startTestNexus({ tuning: { callTimeMs: 300 * slowness } });
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
      await using nexus = await startTestNexus({ tuning: { callQueueMax: 4, callTimeMs: 2_000 * slowness } });
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
      const inbox = "_INBOX.copies";
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

  describe(`a service (${sandbox})`, withProbe, () => {
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
        const ended = await eventOf(nexus, "workload_undeployed", () =>
          nexus.probe(["sleep", "50", ...argv]),
        );
        assert.equal(ended["code"], code, argv.join(" "));
      }
      assert.deepEqual(await nexus.client.workloadDetails(), []);
    });

    test("is asked by SIGINT, and forced when it does not listen", async () => {
      await using nexus = await startTestNexus({ tuning: { stopGraceMs: 300 * slowness } });
      let deployment!: Awaited<ReturnType<TestNexus["probe"]>>;
      // The log line of the service shows that it listens.
      await logsOf(nexus, 1, async () => {
        deployment = await nexus.probe(["polite", "out", "up", "wait"]);
      });
      const polite = await eventOf(nexus, "workload_undeployed", () => nexus.stop(deployment));
      assert.equal(polite["code"], 7);
      await logsOf(nexus, 1, async () => {
        deployment = await nexus.probe(["stubborn", "wait"]);
      });
      const forced = await eventOf(nexus, "workload_undeployed", () => nexus.stop(deployment));
      assert.equal(forced["code"], -1);
    });

    test("takes its children with it, also one that left its session", ownProcesses, async () => {
      await using nexus = await startTestNexus();
      const deployment = await nexus.probe(["child", "daemon", "wait"]);
      await until(() => daemonsRunning() === 3);
      await nexus.stop(deployment);
      // The kernel takes those of a namespace away a moment after its first process.
      await until(() => daemonsRunning() === 0);
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
}
