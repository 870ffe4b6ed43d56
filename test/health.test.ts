/** Health checks: a deploy waits until the workload is ready, and a machine that fails its check is replaced. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { connectNex, type Deployment, type HealthCheck } from "@nexengine/client";
import {
  commandLineOf,
  echoService,
  eventOf,
  probeService,
  startTestNatsServer,
  startTestNexus,
  type TestNexus,
  unmetSandboxRequirement,
  until,
} from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { Victim } from "./support/victim.ts";

const probe = await probeService();
const echo = await echoService();
const noService = probe === undefined || echo === undefined ? "no C compiler builds services here" : false;

/** Checks often, and decides soon. */
const quick = { intervalMs: 100, threshold: 2, startMs: 60_000 } satisfies HealthCheck;

let nexus: TestNexus;
before(async () => {
  nexus = await startTestNexus({ config: { deny_trigger_subjects: ["secret.>"] } });
});
after(() => nexus[Symbol.asyncDispose]());

async function freePort(): Promise<number> {
  await using server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** The processes that carry out these words. */
function pidsOf(words: readonly string[]): number[] {
  const end = `\0${words.join("\0")}\0`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && commandLineOf(name).endsWith(end))
    .map(Number);
}

/** The one process that carries out these words. A signal to 0 would reach the test itself. */
function pidOf(words: readonly string[]): number {
  const [pid, ...others] = pidsOf(words);
  assert.ok(pid !== undefined && others.length === 0, `one process of ${words.join(" ")}`);
  return pid;
}

async function described({ id }: Pick<Deployment, "id">, on = nexus) {
  return (await on.client.info(on.node.id)).machines.find((machine) => machine.id === id);
}

describe("a service with a check of its port", { skip: noService }, () => {
  test("counts as deployed once the port is open", async () => {
    const port = await freePort();
    const deployment = await nexus.probe(["sleep", "400", "listen", `${port}`], {
      health: { ...quick, tcp: port },
    });
    const machine = await described(deployment);
    assert.deepEqual(
      [machine?.healthy, machine?.nex?.healthy, machine?.nex?.reason],
      [true, true, undefined],
    );
    await nexus.stop(deployment);
  });

  test("is refused when the port stays closed, and nothing of it is left", async () => {
    const port = await freePort();
    const words = [`closed-${port}`, "wait"];
    const refused = nexus.probe(words, { health: { ...quick, tcp: port, startMs: 400 } });
    await until(() => pidsOf(words).length > 0);
    await assert.rejects(refused, {
      code: "workload_not_ready",
      message: new RegExp(`did not pass within 400 ms: nobody accepts connections at port ${port}$`),
    });
    assert.deepEqual(pidsOf(words), []);
    assert.deepEqual((await nexus.client.info(nexus.node.id)).machines, []);
  });

  test("is refused at once when it ends before", async () => {
    const port = await freePort();
    await assert.rejects(nexus.probe(["exit", "3"], { health: { ...quick, tcp: port, startMs: 600_000 } }), {
      code: "workload_not_ready",
      message: /it ended with status 3 before its health check passed$/,
    });
  });

  test("is restarted when the port closes, which is told, and is healthy again then", async () => {
    const port = await freePort();
    const words = ["listen", `${port}`, "wait"];
    const deployment = await nexus.probe(words, {
      health: { ...quick, tcp: port },
      restart: { policy: "always", backoff_ms: 1 },
    });
    const types: string[] = [];
    const reasons: unknown[] = [];
    await using feed = nexus.client.events();
    await nexus.client.flush();
    const pid = pidOf(words);
    process.kill(pid, "SIGUSR1");
    for await (const { type, event } of feed) {
      if (!String(event.source).endsWith(deployment.id)) continue;
      types.push(type);
      reasons.push(event.data?.["reason"]);
      if (type === "workload_healthy") break;
    }
    assert.deepEqual(types, ["workload_unhealthy", "workload_restarting", "workload_healthy"]);
    const reason = `health check failed 2 times: nobody accepts connections at port ${port}`;
    assert.deepEqual(reasons, [reason, reason, undefined]);
    const machine = await described(deployment);
    assert.deepEqual([machine?.nex?.healthy, machine?.nex?.restarts], [true, 1]);
    assert.match(machine?.nex?.reason ?? "", /^restarted .* ago: health check failed 2 times/);
    assert.ok(!pidsOf(words).includes(pid));
    await nexus.stop(deployment);
  });

  test("ends with the reason when it has no restart policy", async () => {
    const port = await freePort();
    const words = ["listen", `${port}`, "wait"];
    await nexus.probe(words, { health: { ...quick, tcp: port } });
    const ended = await eventOf(nexus, "workload_undeployed", async () => {
      process.kill(pidOf(words), "SIGUSR1");
    });
    assert.match(String(ended["reason"]), /^health check failed 2 times: nobody accepts connections/);
    assert.equal(ended["code"], -1);
    assert.deepEqual(pidsOf(words), []);
  });
});

describe("a service with a check on a subject", { skip: noService }, () => {
  test("counts as deployed once it answers, and is restarted when it answers no more", async () => {
    const deployment = await nexus.deploy(
      { path: echo?.path ?? "" },
      {
        name: "echoing",
        type: "native",
        argv: ["check-on-subject"],
        environment: { NATS_URL: nexus.server.url, ECHO_SUBJECT: "checked.echo" },
        health: { ...quick, subject: "checked.echo", timeoutMs: 500 },
        restart: { policy: "always", backoff_ms: 1 },
      },
    );
    assert.equal(await nexus.call("checked.echo", "there"), "there");
    const pid = pidOf(["check-on-subject"]);
    const restarting = await eventOf(nexus, "workload_restarting", async () => process.kill(pid, "SIGSTOP"));
    assert.equal(
      restarting["reason"],
      "health check failed 2 times: no answer on checked.echo within 500 ms",
    );
    await eventually(async () => ((await described(deployment))?.nex?.healthy ? true : undefined));
    assert.equal(await nexus.call("checked.echo", "again"), "again");
    await nexus.stop(deployment);
  });

  test("is not healthy while it starts again in vain, and says why", async () => {
    const answer = () =>
      nexus.client.connection.subscribe("asked.of.test", {
        callback: (_, message) => void message.respond(),
      });
    const answering = answer();
    const deployment = await nexus.probe(["wait"], {
      health: { ...quick, subject: "asked.of.test", startMs: 200 },
      restart: { policy: "always", backoff_ms: 1 },
    });
    answering.unsubscribe();
    const looping = await eventually(async () => {
      const machine = await described(deployment);
      return machine?.nex?.crash_loop === undefined ? undefined : machine;
    });
    assert.deepEqual([looping.healthy, looping.nex?.healthy], [false, false]);
    assert.match(looping.nex?.reason ?? "", /did not pass within 200 ms: nobody answers on asked\.of\.test/);
    answer();
    await eventually(async () => ((await described(deployment))?.nex?.healthy ? true : undefined));
    await nexus.stop(deployment);
  });

  test("is refused when nobody answers", async () => {
    await assert.rejects(nexus.probe(["wait"], { health: { ...quick, subject: "no.body", startMs: 300 } }), {
      code: "workload_not_ready",
      message: /nobody answers on no\.body$/,
    });
  });
});

describe("a function with a check on its subject", () => {
  /** Says who it is, and is broken from the first call with a payload on. */
  const fragile = `
    const me = Math.random().toString(36).slice(2);
    let broken = false;
    module.exports = async (subject, payload) => {
      if (payload.length > 0) broken = true;
      if (!subject.endsWith(".health")) await new Promise((resolve) => setTimeout(resolve, 50));
      else if (broken) throw new Error("no longer well");
      return me;
    };`;

  test("has the machine replaced that fails it, and no other", async () => {
    const deployment = await nexus.function(fragile, {
      name: "fragile",
      triggerSubjects: ["fragile.*"],
      replicas: 2,
      concurrency: 1,
      health: { ...quick, subject: "fragile.health" },
    });
    const callers = async (): Promise<Set<string>> => {
      const names = new Set<string>();
      // Calls at once go to both machines.
      while (names.size < 2)
        for (const name of await Promise.all([1, 2, 3, 4].map(() => nexus.call("fragile.who"))))
          names.add(name);
      return names;
    };
    const both = await callers();
    const restarting = await eventOf(nexus, "workload_restarting", () => nexus.call("fragile.who", "break"));
    assert.equal(restarting["reason"], "health check failed 2 times: Error: no longer well");
    await eventually(async () => ((await described(deployment))?.nex?.healthy ? true : undefined));
    const now = await callers();
    assert.equal(both.intersection(now).size, 1);
    assert.equal((await described(deployment))?.nex?.restarts, 1);
    await nexus.stop(deployment);
  });

  test("takes no call before it is ready, and the one that it would replace goes on when it is not", async () => {
    const options = { name: "swapped", triggerSubjects: ["swapped", "swapped.health"] };
    const health = { ...quick, subject: "swapped.health" };
    const first = await nexus.function("() => 1", options);
    let calling = true;
    const replies = new Map<string, number>();
    const caller = (async () => {
      while (calling) {
        const reply = await nexus.call("swapped");
        replies.set(reply, (replies.get(reply) ?? 0) + 1);
      }
    })();
    const sick = `(subject) => { if (subject === "swapped.health") throw new Error("not well"); return 2; }`;
    await assert.rejects(
      nexus.function(sick, { ...options, health: { ...health, startMs: 400 }, replaces: [first] }),
      { code: "workload_not_ready", message: /did not pass within 400 ms: Error: not well$/ },
    );
    const slow = `const since = Date.now();
      module.exports = (subject) => { if (Date.now() - since < 400) throw new Error("warming up"); return 3; };`;
    const third = await nexus.function(slow, { ...options, health, replaces: [first] });
    assert.equal(third.replaced, first.id);
    await eventually(async () => (replies.has("3") ? true : undefined));
    calling = false;
    await caller;
    assert.deepEqual([...replies.keys()], ["1", "3"]);
    assert.equal((await described(third))?.nex?.counters?.failures["500"], undefined);
    await nexus.stop(third);
  });
});

describe("health_invalid and health_denied", () => {
  test("meet subjects that the node does not ask on", async () => {
    for (const subject of ["secret.ping", "$SYS.REQ.USER.INFO", "_INBOX.x"]) {
      await assert.rejects(
        nexus.probe(["wait"], { health: { subject } }),
        { code: "health_denied" },
        subject,
      );
    }
    await assert.rejects(nexus.function("() => 1", { name: "other", health: { subject: "not.mine" } }), {
      code: "health_invalid",
    });
  });
});

test("a node that is stopped waits for no workload to become ready", { skip: noService }, async () => {
  const words = ["stopped-before-ready", "wait"];
  const apart = await startTestNexus();
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  apart.client.connection.subscribe("never.answered", { callback: () => resolve() });
  const refused = assert.rejects(
    apart.probe(words, { health: { subject: "never.answered", startMs: 600_000 } }),
    { code: "workload_not_ready" },
  );
  await asked;
  const stopped = apart.node.stop();
  await refused;
  await stopped;
  await apart[Symbol.asyncDispose]();
  assert.deepEqual(pidsOf(words), []);
});

test("a service is not to blame while its NATS server is gone", { skip: noService }, async () => {
  await using apart = await startTestNexus();
  const deployment = await apart.deploy(
    { path: echo?.path ?? "" },
    {
      name: "patient",
      type: "native",
      environment: { NATS_URL: apart.server.url, ECHO_SUBJECT: "patient" },
      // It ends with its connection, and then has the time of two failed checks to be there again.
      health: { subject: "patient", intervalMs: 100, timeoutMs: 200, threshold: 20, startMs: 60_000 },
      restart: { policy: "always", backoff_ms: 1 },
    },
  );
  const told: string[] = [];
  await using feed = apart.client.events();
  const reading = (async () => {
    for await (const { type, event } of feed)
      if (String(event.source).endsWith(deployment.id)) told.push(`${type} ${event.data?.["reason"] ?? ""}`);
  })();
  await apart.client.flush();
  await apart.server.kill();
  // Longer than all failures that it may have.
  await new Promise((resolve) => setTimeout(resolve, 20 * 200 + 1_000));
  await apart.server.restart();
  await eventually(() => apart.call("patient", "back").catch(() => undefined));
  await eventually(async () => {
    const machine = await described(deployment, apart).catch(() => undefined);
    return machine?.nex?.healthy ? true : undefined;
  });
  await apart.stop(deployment);
  await feed[Symbol.asyncDispose]();
  await reading;
  assert.deepEqual(
    told.filter((line) => /health/.test(line)),
    [],
  );
});

const unmetContainer = await unmetSandboxRequirement("container");
const noContainer = unmetContainer ?? noService;

describe("a service in a container", { skip: noContainer }, () => {
  test("is checked on also after its node was killed, by the next one", async () => {
    await using server = await startTestNatsServer();
    await using client = await connectNex({ servers: [server.url] });
    await using victim = new Victim({ server: server.url, sandbox: "container", nodeLostTimeoutMs: 600_000 });
    await victim.start();
    const words = ["out", `adopted-${process.pid}`, "listen", "80", "wait"];
    const { id, nodeId, name } = await client.deploy({
      name: "checked",
      type: "native",
      artifact: { path: probe?.path ?? "" },
      argv: words,
      issuer: nexus.issuer,
      publisher: nexus.publisher,
      health: { ...quick, tcp: 80 },
      restart: { policy: "always", backoff_ms: 1 },
    });
    const pid = pidOf(words);
    await victim.end("SIGKILL");
    await victim.start();
    const machine = async () => (await client.info(nodeId)).machines.find((one) => one.id === id)?.nex;
    await eventually(async () => ((await machine())?.healthy ? true : undefined));
    assert.equal(pidOf(words), pid);
    process.kill(pid, "SIGUSR1");
    await eventually(async () => {
      const now = await machine();
      return now?.restarts === 1 && now.healthy ? true : undefined;
    });
    assert.match(
      (await machine())?.reason ?? "",
      /health check failed 2 times: nobody accepts connections at port 80/,
    );
    assert.notEqual(pidOf(words), pid);
    await client.stop({ nodeId, workloadId: id, name, issuer: nexus.issuer });
    await victim.end("SIGTERM");
    assert.deepEqual(victim.orphans(), []);
  });
});
