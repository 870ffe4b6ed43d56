/** Services that a schedule starts, and that run to their end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Deployment, EventEntry } from "@nexengine/client";
import { connectNex } from "@nexengine/client";
import {
  probeService,
  startTestNatsServer,
  startTestNexus,
  type TestDeployOptions,
  type TestNexus,
  unmetSandboxRequirement,
} from "@nexengine/testing";
import { eventually, until } from "../../packages/testing/src/observe.ts";
import { deploy, issuer } from "../support/counting.ts";
import { jetStreamOf } from "../support/triggered.ts";
import { Victim } from "../support/victim.ts";

const everySecond = { type: "cron", schedule: "* * * * * *", payload: "go" } as const;

interface Bench {
  nexus: TestNexus;
  /** Ends of jobs, as events tell them. */
  ends: Record<string, unknown>[];
}

async function withNexus(
  t: { skip(why: string): void },
  run: (bench: Bench) => Promise<void>,
): Promise<void> {
  if ((await probeService()) === undefined) return t.skip("no C compiler builds the service here");
  await using nexus = await startTestNexus();
  const ends: Record<string, unknown>[] = [];
  await using events = nexus.client.events();
  const reading = (async () => {
    for await (const { type, event } of events as AsyncIterable<EventEntry>)
      if (type === "job_ended") ends.push(event.data ?? {});
  })();
  await nexus.client.flush();
  await run({ nexus, ends });
  await events[Symbol.asyncDispose]();
  await reading;
}

const job = (nexus: TestNexus, argv: string[], options: TestDeployOptions = {}): Promise<Deployment> =>
  nexus.probe(argv, { name: "job", triggers: [everySecond], ...options });

test("each tick runs the service once on a machine of its own, and its end is told", async (t) => {
  await withNexus(t, async ({ nexus, ends }) => {
    const lines: string[] = [];
    await using logs = nexus.client.logs();
    const reading = (async () => {
      for await (const { text } of logs) lines.push(text);
    })();
    const deployed = await job(nexus, ["env"]);
    await until(() => ends.length >= 2);
    assert.deepEqual(
      ends.slice(0, 2).map(({ code, trigger, workload_name }) => [code, trigger, workload_name]),
      [
        [0, "cron", "job"],
        [0, "cron", "job"],
      ],
    );
    await until(
      () =>
        lines.includes("NEX_TRIGGER_PAYLOAD=go") &&
        lines.some((line) => /^NEX_TRIGGER_PLANNED_MS=\d{10}000$/.test(line)),
    );
    const [shown] = await nexus.client.workloadDetails("job");
    assert.equal(shown?.nex?.state, "running");
    assert.ok((shown?.nex?.triggers?.[0]?.acked ?? 0) >= 2);
    await nexus.stop(deployed);
    const { state } = await (await jetStreamOf(nexus.client)).streams.info("NEX_CRON_default", {
      subjects_filter: ">",
    });
    assert.deepEqual(state.subjects ?? {}, {});
    await logs[Symbol.asyncDispose]();
    await reading;
  });
});

test("a job that fails comes again, and ends as a dead letter with its exit status", async (t) => {
  await withNexus(t, async ({ nexus, ends }) => {
    const trigger = { ...everySecond, schedule: "@hourly", attempts: 2, backoff_ms: [20] };
    await job(nexus, ["exit", "3"], { triggers: [trigger] });
    // One tick, which nobody needs to wait an hour for.
    await nexus.client.connection.request("$NEX.CRON.TICK.default.job.cron", "go");
    const letters = await eventually(async () => {
      const found = await nexus.client.deadLetters.list();
      return found.length > 0 ? found : undefined;
    });
    assert.deepEqual(
      ends.map(({ code }) => code),
      [3, 3],
    );
    assert.match(letters[0]?.reason ?? "", /the job ended: status: 3/);
  });
});

test("one job runs at a time, and a stop ends it", async (t) => {
  await withNexus(t, async ({ nexus, ends }) => {
    const deployed = await job(nexus, ["wait"]);
    const running = async (): Promise<number> =>
      (await nexus.client.workloadDetails("job"))[0]?.nex?.machines ?? 0;
    await eventually(async () => ((await running()) === 1 ? true : undefined));
    const manager = await jetStreamOf(nexus.client);
    await eventually(async () => {
      const { num_pending } = await manager.consumers.info("NEX_CRON_default", "nex_default_job_cron");
      return num_pending > 0 ? true : undefined;
    });
    assert.equal(await running(), 1);
    await nexus.stop(deployed);
    await until(() => ends.length === 1);
    assert.deepEqual(await nexus.client.workloadDetails("job"), []);
  });
});

test("a job asks for nothing that only a lasting service has", async (t) => {
  await withNexus(t, async ({ nexus }) => {
    const refused: TestDeployOptions[] = [
      { restart: { policy: "always" } },
      { essential: true },
      { health: { tcp: 80 } },
      { triggers: [{ type: "subject", subject: "a" }] },
    ];
    for (const options of refused) {
      await assert.rejects(job(nexus, ["wait"], options), (error: Error & { code?: string }) => {
        assert.ok(["trigger_invalid", "triggers_not_supported", "health_invalid"].includes(error.code ?? ""));
        return true;
      });
    }
  });
});

test("a killed node's job is not adopted: its tick runs again on the next node, and nothing is left", async (t) => {
  const unmet =
    (await unmetSandboxRequirement("container")) ??
    (await probeService().then((one) =>
      one === undefined ? "no C compiler builds the service here" : undefined,
    ));
  if (unmet !== undefined) return t.skip(unmet);
  const probe = await probeService();
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  await using victim = new Victim({
    server: server.url,
    sandbox: "container",
    nodeLostTimeoutMs: 60_000,
    config: { machine_pool_size: 1 },
  });
  await victim.start();
  const trigger = { type: "cron", schedule: "@hourly", ack_wait_ms: 1_000 } as const;
  const artifact = { path: probe?.path ?? "" };
  await deploy(client, { name: "job", type: "native", artifact, argv: ["wait"], triggers: [trigger] });
  await client.connection.request("$NEX.CRON.TICK.default.job.cron", "go");
  const running = async (): Promise<true | undefined> =>
    (await client.workloadDetails("job"))[0]?.nex?.machines === 1 ? true : undefined;
  await eventually(running);
  await victim.end("SIGKILL");
  await victim.start();
  await eventually(running);
  // The job's machine, and the one that is kept ready.
  await until(() => victim.agents().length === 2);
  const [workload] = await client.workloadDetails("job");
  await client.stop({ nodeId: workload?.nodeId ?? "", workloadId: workload?.id ?? "", name: "job", issuer });
  await until(() => victim.agents().length === 1);
});
