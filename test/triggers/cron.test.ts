/** Schedules against a real server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestNexus } from "@nexengine/testing";
import { eventually, until } from "../../packages/testing/src/observe.ts";
import { deployTeller, jetStreamOf, Told } from "../support/triggered.ts";

const stream = "NEX_CRON_default";
const schedule = "$NEX.CRON.SCHED.default.teller.cron";
const ticks = "$NEX.CRON.TICK.default.teller.cron";

test("a schedule calls the function at its planned times, and ends with its workload", async () => {
  await using nexus = await startTestNexus();
  const manager = await jetStreamOf(nexus.client);
  const told = new Told(nexus.client.connection);
  const deployment = await deployTeller(nexus, [{ type: "cron", schedule: "* * * * * *", payload: "tick" }]);
  const calls = await told.count(3);
  for (const { text, subject, trigger } of calls) {
    const { type, plannedMs, schedule: own } = trigger;
    assert.deepEqual([text, subject, type, own], ["tick", ticks, "cron", "* * * * * *"]);
    assert.equal(Number(plannedMs) % 1_000, 0);
  }
  const planned = calls.map(({ trigger }) => Number(trigger["plannedMs"]));
  assert.deepEqual(planned, [...new Set(planned)].toSorted());
  await nexus.stop(deployment);
  const { state } = await manager.streams.info(stream, { subjects_filter: ">" });
  assert.deepEqual(state.subjects ?? {}, {});
});

test("one of two copies stops, and the schedule goes on; a new deploy changes it", async () => {
  await using nexus = await startTestNexus();
  const manager = await jetStreamOf(nexus.client);
  const told = new Told(nexus.client.connection);
  const first = await deployTeller(nexus, [{ type: "cron", schedule: "* * * * * *" }], { copy: "first" });
  await told.count(1);
  const later = { type: "cron", schedule: "*/2 * * * * *", payload: "later" } as const;
  await deployTeller(nexus, [later], { copy: "second" });
  const put = await manager.streams.getMessage(stream, { last_by_subj: schedule });
  assert.equal(put?.header.get("Nats-Schedule"), "*/2 * * * * *");
  await nexus.stop(first);
  const count = told.all.length;
  await until(() => told.all.length > count + 1);
  assert.ok(told.all.slice(count).every(({ copy }) => copy === "second"));
  assert.equal((await manager.streams.getMessage(stream, { last_by_subj: schedule }))?.seq, put?.seq);
});

test("a slow function skips missed ticks, and runs the last of them", async () => {
  await using nexus = await startTestNexus();
  const told = new Told(nexus.client.connection);
  await deployTeller(nexus, [{ type: "cron", schedule: "* * * * * *", payload: "slow:2500" }]);
  const calls = await told.count(3);
  const planned = calls.map(({ trigger }) => Number(trigger["plannedMs"]));
  const gaps = planned.slice(1).map((ms, at) => ms - (planned[at] ?? 0));
  assert.ok(
    gaps.every((ms) => ms >= 2_000),
    `gaps of ${gaps.join(", ")} ms`,
  );
});

test("a paused schedule calls nothing, and goes on when it is resumed", async () => {
  await using nexus = await startTestNexus();
  const told = new Told(nexus.client.connection);
  const {
    id: workloadId,
    nodeId,
    name,
  } = await deployTeller(nexus, [{ type: "cron", schedule: "every 1s" }]);
  await told.count(1);
  const at = { nodeId, workloadId, name, trigger: "cron", issuer: nexus.issuer };
  assert.equal((await nexus.client.pauseTrigger(at)).state, "paused");
  const manager = await jetStreamOf(nexus.client);
  const paused = told.all.length;
  // Two ticks that nobody takes.
  await eventually(async () => {
    const { num_pending } = await manager.consumers.info(stream, "nex_default_teller_cron");
    return num_pending >= 2 ? true : undefined;
  });
  assert.ok(told.all.length <= paused + 1);
  const state = async (): Promise<string | undefined> =>
    (await nexus.client.workloadDetails(name))[0]?.nex?.triggers?.[0]?.state;
  assert.equal(await state(), "paused");
  await nexus.client.resumeTrigger(at);
  const count = told.all.length;
  await told.count(count + 1);
  assert.equal(await state(), "active");
});

test("a copy that was busy when the other one stopped brings the schedule back", async () => {
  await using nexus = await startTestNexus();
  const told = new Told(nexus.client.connection);
  const trigger = { type: "cron", schedule: "* * * * * *", payload: "slow:5500" } as const;
  const limits = { callTimeMs: 20_000 };
  const first = await deployTeller(nexus, [trigger], { copy: "first", limits });
  const second = await deployTeller(nexus, [trigger], { copy: "second", limits });
  const [busy] = await told.count(1);
  await nexus.stop(busy?.copy === "first" ? second : first);
  const calls = await told.count(3);
  assert.ok(calls.every(({ copy }) => copy === busy?.copy));
});
