import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type MockBoot, MockDriver } from "@nexengine/testing/internal";
import { type Logger, pino } from "pino";
import { Budget } from "../budget/budget.ts";
import { StateDirectory } from "../state/state-directory.ts";
import { greet } from "../testing/mock-agent.ts";
import { type MachineTemplate, Pool } from "./pool.ts";

const template: MachineTemplate = { limits: { memoryBytes: 2 ** 28 }, network: "nats" };
const other: MachineTemplate = { limits: { memoryBytes: 2 ** 29 }, network: "nats" };

/** A pool of mock machines in a state directory that goes with the block. */
class Bench implements AsyncDisposable {
  readonly driver: MockDriver;
  readonly state: StateDirectory;
  readonly pool: Pool;

  private constructor(state: StateDirectory, driver: MockDriver, size: number, log: Logger) {
    this.state = state;
    this.driver = driver;
    this.pool = new Pool({
      driver,
      directory: state.machines,
      records: state.records,
      budget: new Budget({ bootsMax: 4, unsentBytesMax: 1_048_576 }),
      template,
      size,
      epoch: 1,
      handshakeTimeoutMs: 5_000,
      nodeLostTimeoutMs: 1_000,
      log,
    });
  }

  static async make(
    size: number,
    script: (index: number) => MockBoot = () => ({}),
    log: Logger = pino({ level: "silent" }),
  ): Promise<Bench> {
    const driver = new MockDriver({
      script: (index) => ({ serves: (guest) => greet(guest), ...script(index) }),
    });
    return new Bench(await StateDirectory.open(), driver, size, log);
  }

  /** Orphans: machines that were not destroyed, and records. */
  async orphans(): Promise<string[]> {
    const machines = this.driver.machines.filter(({ destroyed }) => !destroyed).map(({ id }) => id);
    const records = (await this.state.records.list()).map(({ id }) => `record ${id}`);
    return [...machines, ...records];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool[Symbol.asyncDispose]();
    assert.deepEqual(await this.orphans(), []);
    await this.state[Symbol.asyncDispose]();
  }
}

/** Waits for a condition; the test's own limit bounds it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

test("Pool keeps as many machines ready as it is told, each in a directory and a record of its own", async () => {
  await using bench = await Bench.make(3);
  await bench.pool.start();
  await until(() => bench.pool.readyCount === 3);
  const records = await bench.state.records.list();
  assert.deepEqual(records.map(({ id }) => id).sort(), bench.driver.machines.map(({ id }) => id).sort());
  for (const { spec } of bench.driver.machines) {
    assert.ok(existsSync(spec.directory));
    assert.deepEqual([spec.limits, spec.network, spec.nodeLostTimeoutMs], [template.limits, "nats", 1_000]);
  }
});

test("Pool gives a machine that waits, and boots another one in its place", async () => {
  await using bench = await Bench.make(1);
  await bench.pool.start();
  const machine = await bench.pool.reserve(template, "n", 5_000);
  assert.equal(machine.id, bench.driver.machines[0]?.id);
  assert.equal(machine.state, "reserved");
  await until(() => bench.pool.readyCount === 1);
  assert.equal(bench.driver.machines.length, 2);
  await machine.end(0);
});

test("Pool boots a machine of another template apart, and leaves those that wait alone", async () => {
  await using bench = await Bench.make(1);
  await bench.pool.start();
  const machine = await bench.pool.reserve(other, "n", 5_000);
  const [waiting, special] = bench.driver.machines;
  assert.equal(machine.id, special?.id);
  assert.deepEqual(special?.spec.limits, other.limits);
  assert.equal(bench.pool.readyCount, 1);
  const waited = await bench.pool.reserve(template, "n", 5_000);
  assert.equal(waited.id, waiting?.id);
  await Promise.all([machine.end(0), waited.end(0)]);
});

test("Pool says why a machine of another template did not boot, and keeps the others", async () => {
  await using bench = await Bench.make(1, (index) => (index === 0 ? {} : { fails: "no luck today" }));
  await bench.pool.start();
  await assert.rejects(bench.pool.reserve(other, "n", 5_000), {
    code: "no_ready_machine",
    message: /no luck today/,
  });
  assert.equal(bench.pool.readyCount, 1);
});

test("Pool boots no more machines of other templates at once than it may, and the next ones after those", async () => {
  const gate = Promise.withResolvers<void>();
  await using bench = await Bench.make(1, (index) => (index === 0 ? {} : { until: gate.promise }));
  await bench.pool.start();
  const reserved = Array.from({ length: 6 }, () => bench.pool.reserve(other, "n", 60_000));
  await until(() => bench.driver.boots.length === 5);
  await assert.rejects(bench.pool.reserve(other, "n", 50), {
    code: "no_ready_machine",
    message: /4 machines boot already, and none was ready within 50 ms/,
  });
  assert.equal(bench.driver.boots.length, 5);
  gate.resolve();
  const machines = await Promise.all(reserved);
  assert.equal(new Set(machines).size, 6);
  await Promise.all(machines.map((machine) => machine.end(0)));
});

for (const [what, wanted] of [
  ["one that would wait", template],
  ["one of another template", other],
] as const) {
  test(`Pool that is closed while ${what} boots waits for it, and ends it`, async () => {
    const gate = Promise.withResolvers<void>();
    await using bench = await Bench.make(1, (index) => (index === 0 ? {} : { until: gate.promise }));
    await bench.pool.start();
    // With the one that waits taken, the next one is booted in its place.
    const taken = wanted === template ? await bench.pool.reserve(template, "n", 5_000) : undefined;
    const refused = assert.rejects(bench.pool.reserve(wanted, "n", 5_000), {
      code: "no_ready_machine",
      message: /the node is stopping/,
    });
    await until(() => bench.driver.boots.length > 1);
    let closed = false;
    const closing = bench.pool[Symbol.asyncDispose]().then(() => {
      closed = true;
    });
    // The one that waits goes first, so that nothing else holds the pool up.
    const waiting = taken === undefined ? bench.driver.machines[0]?.id : undefined;
    while ((await bench.state.records.list()).some(({ id }) => id === waiting));
    assert.equal(closed, false);
    gate.resolve();
    await closing;
    assert.ok(bench.driver.machines.slice(1).every(({ destroyed }) => destroyed));
    await refused;
    await taken?.end(0);
  });
}

test("Pool that is closed gives no machine", async () => {
  await using bench = await Bench.make(1);
  await bench.pool.start();
  await bench.pool[Symbol.asyncDispose]();
  for (const wanted of [template, other]) {
    await assert.rejects(bench.pool.reserve(wanted, "n", 60_000), { message: /the node is stopping/ });
  }
  assert.equal(bench.driver.boots.length, 1);
});

test("Pool does not start when the first machine does not boot", async () => {
  await using bench = await Bench.make(2, () => ({ fails: "no luck" }));
  await assert.rejects(bench.pool.start(), { code: "no_ready_machine", message: /no luck/ });
});

test("Pool waits no longer for a machine than it is told, and says why none boots", async () => {
  await using bench = await Bench.make(1, (index) => (index === 0 ? {} : { fails: "out of luck" }));
  await bench.pool.start();
  const first = await bench.pool.reserve(template, "n", 5_000);
  await assert.rejects(bench.pool.reserve(template, "n", 50), {
    code: "no_ready_machine",
    message: /none became ready within 50 ms \(.*out of luck/,
  });
  await first.end(0);
});

test("Pool replaces a machine that dies while it waits", async () => {
  await using bench = await Bench.make(1);
  await bench.pool.start();
  const [first] = bench.driver.machines;
  first?.guest.kill();
  await until(() => bench.driver.machines.length === 2 && bench.pool.readyCount === 1);
  await until(() => first?.destroyed === true);
});

test("Pool ends a machine that says no hello, with what it wrote to its console (W7)", async () => {
  const serves: MockBoot["serves"] = (guest) => {
    guest.print("cannot find my hat\n");
    guest.exit(3);
  };
  await using bench = await Bench.make(1, () => ({ serves }));
  await assert.rejects(bench.pool.start(), {
    message: /exited with status 3 \(it wrote: cannot find my hat\)/,
  });
});

test("Pool gives no machine that is lost in the breath of its hello", async () => {
  const nonsense = Buffer.from([8, 0, 0, 0, 0xee, 0, 0, 0, 1, 0, 0, 0]);
  await using bench = await Bench.make(1, (index) =>
    index === 0 ? {} : { serves: (guest) => greet(guest, nonsense) },
  );
  await bench.pool.start();
  await assert.rejects(bench.pool.reserve(other, "n", 5_000), {
    code: "no_ready_machine",
    message: /type 238 is not one/,
  });
});

test("Pool says what of a machine is left that can't be destroyed, and goes on", async () => {
  const said: { machine?: string; msg: string }[] = [];
  const log = pino({ level: "error" }, { write: (line: string) => void said.push(JSON.parse(line)) });
  await using bench = await Bench.make(1, (index) => (index === 0 ? { destroyFailures: 1 } : {}), log);
  await bench.pool.start();
  const [first] = bench.driver.machines;
  first?.guest.kill();
  await until(() => bench.driver.machines.length === 2 && bench.pool.readyCount === 1);
  assert.deepEqual(
    said.map(({ machine, msg }) => [machine, msg]),
    [[first?.id, "something of a machine is left"]],
  );
  // Its record is what the next node ends it by.
  assert.ok((await bench.state.records.list()).some(({ id }) => id === first?.id));
  await first?.destroy();
  await bench.state.records.remove(first?.id ?? "");
});

for (const [what, runs, isAdopted] of [
  ["adopts a machine that runs the workload", "mine", true],
  ["ends a machine that runs another workload", "other", false],
  ["ends a machine that runs none", undefined, false],
] as const) {
  test(`Pool ${what}, when the node before has left it`, async () => {
    const running = runs === undefined ? undefined : { workloadId: runs };
    await using bench = await Bench.make(0, () => ({ serves: (guest) => greet(guest, undefined, running) }));
    const directory = join(bench.state.machines, "left");
    mkdirSync(directory);
    const left = await bench.driver.boot({ ...template, id: "left", directory, nodeLostTimeoutMs: 1_000 });
    const events = { log: () => undefined, exited: () => undefined, lost: () => undefined };
    const adopting = bench.pool.adopt(left.record(), { workloadId: "mine", prepare: () => events });
    if (isAdopted) {
      const adopted = await adopting;
      assert.deepEqual([adopted?.machine.id, adopted?.machine.state], ["left", "running"]);
      await adopted?.machine.end(0);
    } else
      await assert.rejects(adopting, { code: "no_ready_machine", message: /does not run workload mine/ });
    assert.deepEqual([left.guest.ended, existsSync(directory)], [true, false]);
    await left.destroy();
  });
}
