/** Schedules: our parser and a real nats-server agree on what a schedule is, and on its next time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { parseSchedule } from "@nexengine/protocol/formats";
import { startTestNatsServer } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";

/** Six fields, as they would go to the server. Some are no schedules. */
const texts = [
  "* * * * * *",
  "*/20 * * * * ?",
  "0 0 9 1 jan mon-fri",
  "0 0 0 29 feb *",
  "5/20 0-10/3 1,2 * * sun",
  "0 0 0 30 2 *",
  "0 0 0 * * 7",
  "0 0 0 L * *",
  "0 0 0 * * 1#2",
  "0 0 24 * * *",
  "60 * * * * *",
  "0 */0 * * * *",
  "0 0 0 * * fri-mon",
  "0 0 0 0 * *",
  "0 0 0 * 13 *",
  "0 0 0 * * 1-2-3",
];
const zones = ["Europe/Berlin", "US/Eastern", "+02:00", "Nowhere/Land", "Europe/berlin"];

async function scheduler() {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestNatsServer());
  const connection = await connect({ servers: server.url });
  stack.defer(() => connection.close());
  const manager = await jetstreamManager(connection);
  const config = { name: "PLAN", subjects: ["plan.>", "tick.>"], allow_msg_schedules: true };
  await manager.streams.add(config);
  const resources = stack.move();
  const put = async (name: string, schedule: string, zone?: string): Promise<boolean> => {
    const head = headers();
    head.set("Nats-Schedule", schedule);
    head.set("Nats-Schedule-Target", `tick.${name}`);
    if (zone !== undefined) head.set("Nats-Schedule-Time-Zone", zone);
    try {
      await jetstream(connection).publish(`plan.${name}`, "", { headers: head });
      return true;
    } catch {
      return false;
    }
  };
  return { put, manager, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

function isOurs(text: string, zone?: string): boolean {
  try {
    parseSchedule(text, zone);
    return true;
  } catch {
    return false;
  }
}

test("parseSchedule accepts the schedules and zones that nats-server accepts", async () => {
  await using plan = await scheduler();
  for (const [at, text] of texts.entries()) {
    assert.equal(isOurs(text), await plan.put(`a${at}`, text), text);
  }
  for (const [at, zone] of zones.entries()) {
    assert.equal(isOurs("0 0 0 * * *", zone), await plan.put(`z${at}`, "0 0 0 * * *", zone), zone);
  }
});

/** Second, minute and hour. */
function clockOf(time: Date): string {
  return `${time.getUTCSeconds()} ${time.getUTCMinutes()} ${time.getUTCHours()}`;
}

test("next gives the time that nats-server announces with a tick", async () => {
  await using plan = await scheduler();
  const forms: { text(soon: Date): string; zone?: string }[] = [
    { text: () => "* * * * * *" },
    { text: () => "*/2 * * * * *", zone: "Asia/Kathmandu" },
    { text: (soon) => `${clockOf(soon)} * * *`, zone: "UTC" },
    { text: (soon) => `${clockOf(soon)} ${soon.getUTCDate()} * *` },
    { text: (soon) => `${soon.getUTCSeconds()} ${soon.getUTCMinutes()} * * * *`, zone: "Europe/Berlin" },
  ];
  const schedules: { text: string; zone: string | undefined }[] = [];
  for (const [at, { text: textAt, zone }] of forms.entries()) {
    // A schedule that arrives after its time would tick tomorrow.
    for (let soon = new Date(0); soon.getTime() <= Date.now(); ) {
      soon = new Date(Date.now() + 3_000);
      schedules[at] = { text: textAt(soon), zone };
      assert.ok(await plan.put(`n${at}`, textAt(soon), zone));
    }
  }
  for (const [at, { text, zone }] of schedules.entries()) {
    const tick = await eventually(async () => {
      const last = await plan.manager.streams.getMessage("PLAN", { last_by_subj: `tick.n${at}` });
      return last ?? undefined;
    });
    const announced = Date.parse(tick.header.get("Nats-Schedule-Next"));
    const { next, latest } = parseSchedule(text, zone);
    const tickMs = tick.time.getTime();
    assert.equal(next(tickMs), announced, `${text} in ${zone}`);
    assert.ok(tickMs - latest(tickMs) < 1_000, `${text} ticked at ${tick.time.toISOString()}`);
  }
});
