import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Exited } from "@nexengine/protocol/agent";
import { NexError } from "@nexengine/protocol/errors";
import { eventually, MockDriver } from "@nexengine/testing/internal";
import { pino } from "pino";
import { Budget } from "../budget/budget.ts";
import type { Machine, MachineEvents } from "../machines/machine.ts";
import { type MachineTemplate, Pool } from "../machines/pool.ts";
import { StateDirectory } from "../state/state-directory.ts";
import { MockAgent, type MockWorkload } from "../testing/mock-agent.ts";
import { Replica, type ReplicaHost, type WorkloadEnd } from "./replica.ts";
import { RestartBackoff } from "./restart.ts";

const waitMs = 10_000;
/** Longer than everything that the node does without being asked. */
const quietMs = 60;
const template: MachineTemplate = { limits: {}, network: "nats" };

/** How a test's host decides, and what its machines do. */
interface Script {
  /** Behaviour of the agents, in the order in which the machines are taken; the last one repeats. */
  workloads?: MockWorkload[];
  restarts?: ReplicaHost["restarts"];
  backoff?: RestartBackoff;
  mayOverlap?: boolean;
  /** Called before each reservation, with its number from 0. */
  reserves?: (index: number) => Promise<void> | void;
}

/** A replica in a scripted host, with machines of a real pool. */
class Bench implements ReplicaHost, AsyncDisposable {
  readonly replica: Replica;
  /** Machines that the replica got. */
  readonly machines: Machine[] = [];
  /** The events that each of these machines got. */
  readonly events: MachineEvents[] = [];
  /** Agents of all machines, in the order of their boots. The pool gives machines in this order. */
  readonly agents: MockAgent[] = [];
  readonly told: string[] = [];
  readonly ends: WorkloadEnd[] = [];
  readonly driver: MockDriver;
  readonly backoff: RestartBackoff;
  readonly mayOverlap: boolean;
  /** Number of reservations that were asked for. */
  reservations = 0;
  readonly #script: Script;
  readonly #state: StateDirectory;
  readonly #pool: Pool;

  private constructor(state: StateDirectory, script: Script) {
    const { workloads = [{}], backoff, mayOverlap = false } = script;
    this.#script = script;
    this.#state = state;
    this.backoff = backoff ?? new RestartBackoff(undefined, 1);
    this.mayOverlap = mayOverlap;
    this.driver = new MockDriver({
      script: (index) => ({
        serves: (guest) => this.agents.push(new MockAgent(guest, workloads[index] ?? workloads.at(-1))),
      }),
    });
    this.#pool = new Pool({
      driver: this.driver,
      directory: state.machines,
      records: state.records,
      budget: new Budget({ bootsMax: 1, unsentBytesMax: 1_048_576 }),
      ...{ template, size: 1, epoch: 1, handshakeTimeoutMs: waitMs, nodeLostTimeoutMs: 1_000 },
      log: pino({ level: "silent" }),
    });
    this.replica = new Replica(this);
  }

  static async make(script: Script = {}): Promise<Bench> {
    const bench = new Bench(await StateDirectory.open(), script);
    await bench.#pool.start();
    return bench;
  }

  /** A bench whose replica runs on its first machine. */
  static async run(script: Script = {}): Promise<Bench> {
    const bench = await Bench.make(script);
    await bench.replica.start();
    bench.replica.run();
    return bench;
  }

  async reserve(): Promise<Machine> {
    const index = this.reservations++;
    await this.#script.reserves?.(index);
    const machine = await this.#pool.reserve(template, "n", waitMs);
    this.machines.push(machine);
    return machine;
  }

  async deploy(machine: Machine, events: MachineEvents): Promise<void> {
    this.events.push(events);
    const spec = { workloadId: "w", name: "n", namespace: "n", type: "native", argv: [], environment: {} };
    const deploy = { ...spec, artifactBytes: 1, concurrency: 1, sourceBytesMax: 1 };
    await machine.deploy(deploy, import.meta.filename, waitMs, events);
  }

  removed(machine: Machine, why: string): void {
    this.told.push(`removed ${this.machines.indexOf(machine)}: ${why}`);
  }

  log(level: string, text: string): void {
    this.told.push(`${level} ${text}`);
  }

  restarts(code: number | undefined): boolean {
    return this.#script.restarts?.(code) ?? false;
  }

  restarting(why: string, delayMs: number): void {
    this.told.push(`restarting in ${delayMs} ms: ${why}`);
  }

  ended(end: WorkloadEnd): void {
    this.ends.push(end);
  }

  /** Keeps a machine of the driver from ending. @returns lets it go on */
  holdEnd(index: number): () => void {
    const gate = Promise.withResolvers<void>();
    const sandbox = this.driver.machines[index];
    assert.ok(sandbox !== undefined);
    const destroy = sandbox.destroy.bind(sandbox);
    sandbox.destroy = () => gate.promise.then(destroy);
    return gate.resolve;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.replica.end(0);
    await this.#pool[Symbol.asyncDispose]();
    assert.ok(this.driver.machines.every(({ destroyed }) => destroyed));
    await this.#state[Symbol.asyncDispose]();
  }
}

function until(condition: () => boolean): Promise<void> {
  return eventually(condition, waitMs, `${condition}`);
}

const always = { restarts: () => true };

test("Replica starts on a machine, and runs once it is told so", async () => {
  await using bench = await Bench.make();
  const { replica } = bench;
  assert.deepEqual([replica.isRunning, replica.machine], [false, undefined]);
  await replica.start();
  assert.deepEqual(
    [replica.isRunning, replica.machine, bench.machines.length],
    [false, bench.machines[0], 1],
  );
  assert.equal(replica.machine?.state, "running");
  replica.run();
  assert.deepEqual([replica.isRunning, replica.restarts], [true, 0]);
  bench.events[0]?.log("INFO", "hello");
  assert.deepEqual([bench.told, bench.ends], [["INFO hello"], []]);
});

test("Replica whose agent refuses the workload does not start, and ends its machine", async () => {
  await using bench = await Bench.make({ workloads: [{ deployed: { accepted: false, message: "no" } }] });
  await assert.rejects(bench.replica.start(), { code: "workload_rejected" });
  await bench.replica.end(0);
  assert.equal(bench.machines[0]?.state, "stopped");
});

test("Replica that gets no machine does not start", async () => {
  const reserves = (): never => {
    throw new NexError("no_ready_machine", "none");
  };
  await using bench = await Bench.make({ ...always, reserves });
  await assert.rejects(bench.replica.start(), { code: "no_ready_machine" });
  await delay(quietMs);
  assert.deepEqual([bench.reservations, bench.told, bench.ends], [1, [], []]);
});

/** Exits and losses, whether the host restarts after them, and how they are reported. */
const exits: [what: string, act: (agent: MockAgent) => void, code: number | undefined, end: WorkloadEnd][] = [
  ["an exit", (agent) => agent.exit({ code: 3 }), 3, { code: 3, reason: "status: 3" }],
  ["a success", (agent) => agent.exit({ code: 0 }), 0, { code: 0, reason: "status: 0" }],
  [
    "a signal",
    (agent) => agent.exit({ signal: "SIGTERM" }),
    -1,
    { code: -1, reason: "status: -1 (SIGTERM)" },
  ],
  ["the loss of its machine", ({ guest }) => guest.kill(), undefined, { code: -1, reason: "killed" }],
];

for (const [what, act, code, end] of exits) {
  test(`Replica reports ${what} once, and ends its machine, where it does not restart`, async () => {
    const asked: (number | undefined)[] = [];
    const restarts = (given: number | undefined): boolean => asked.push(given) < 0;
    await using bench = await Bench.run({ restarts });
    act(bench.agents[0] as MockAgent);
    await until(() => bench.ends.length === 1);
    const [events] = bench.events;
    events?.exited({ code: 9 });
    events?.lost("again");
    await until(() => bench.machines[0]?.state === "stopped");
    assert.deepEqual([bench.ends, asked, bench.told], [[end], [code], []]);
    assert.deepEqual([bench.replica.isRunning, bench.reservations], [false, 1]);
  });

  test(`Replica starts on another machine after ${what}, where it restarts`, async () => {
    await using bench = await Bench.run({ restarts: (given) => given === code });
    const { replica } = bench;
    act(bench.agents[0] as MockAgent);
    await until(() => replica.restarts === 1);
    assert.deepEqual([replica.isRunning, replica.machine], [false, undefined]);
    await until(() => replica.isRunning);
    assert.deepEqual([bench.machines.length, replica.machine], [2, bench.machines[1]]);
    const why = code === undefined ? end.reason : `exited with status ${code}`;
    assert.deepEqual(bench.told, [`removed 0: ${why}`, `restarting in 1 ms: ${why}`]);
    assert.deepEqual([bench.machines[0]?.state, bench.ends], ["stopped", []]);
  });
}

/** Exits in the same breath as the start. */
const early: [what: string, exit: Exited | undefined, end: WorkloadEnd][] = [
  ["exits", { code: 7 }, { code: 7, reason: "status: 7" }],
  ["loses its machine", undefined, { code: -1, reason: "killed" }],
];

for (const [what, exit, end] of early) {
  test(`Replica that ${what} before it runs reports that after its deploy is answered`, async () => {
    await using bench = await Bench.make({ workloads: exit === undefined ? [{}] : [{ exits: exit }] });
    const { replica } = bench;
    await replica.start();
    if (exit === undefined) bench.agents[0]?.guest.kill();
    await delay(quietMs);
    assert.deepEqual([replica.isRunning, bench.ends], [false, []]);
    replica.run();
    // The caller of the deploy hears first that the workload runs.
    assert.deepEqual([replica.isRunning, bench.ends], [true, []]);
    await until(() => bench.ends.length === 1);
    assert.deepEqual([bench.ends, replica.isRunning], [[end], false]);
  });
}

test("Replica restarts after an early exit as after a later one, also on its next machine", async () => {
  await using bench = await Bench.make({
    ...always,
    workloads: [{ exits: { code: 1 } }, { exits: { code: 2 } }, {}],
  });
  await bench.replica.start();
  bench.replica.run();
  await until(() => bench.replica.restarts === 2 && bench.replica.isRunning);
  assert.deepEqual(
    bench.told.filter((text) => text.startsWith("restarting")),
    ["restarting in 1 ms: exited with status 1", "restarting in 2 ms: exited with status 2"],
  );
  assert.deepEqual([bench.machines.length, bench.ends], [3, []]);
});

test("Replica backs off between restarts, and gives up when there were too many", async () => {
  const backoff = new RestartBackoff(2, 40);
  await using bench = await Bench.run({ ...always, backoff, workloads: [{ exits: { code: 4 } }] });
  const beganMs = performance.now();
  await until(() => bench.ends.length === 1);
  assert.ok(performance.now() - beganMs >= 120 - 5, "it waited for 40 ms, then for 80 ms");
  const why = "exited with status 4";
  assert.deepEqual(bench.told, [
    ...[`removed 0: ${why}`, `restarting in 40 ms: ${why}`],
    ...[`removed 1: ${why}`, `restarting in 80 ms: ${why}`],
  ]);
  assert.deepEqual(bench.ends, [{ code: 4, reason: "exited with status 4; restarted too often" }]);
  assert.deepEqual([bench.replica.restarts, bench.reservations], [2, 3]);
});

test("Replica tries another machine when a restart is refused", async () => {
  const refused = { deployed: { accepted: false, message: "not today" } };
  await using bench = await Bench.run({ ...always, workloads: [{}, refused, {}] });
  bench.agents[0]?.exit({ code: 1 });
  await until(() => bench.replica.restarts === 2 && bench.replica.isRunning);
  assert.match(bench.told[3] ?? "", /^restarting in 2 ms: .*not today/);
  assert.deepEqual([bench.machines[1]?.state, bench.ends], ["stopped", []]);
});

test("Replica waits for its machine to end before the next one starts, unless both may run at once", async () => {
  for (const mayOverlap of [false, true]) {
    await using bench = await Bench.run({ ...always, mayOverlap });
    const goOn = bench.holdEnd(0);
    bench.agents[0]?.exit({ code: 1 });
    await until(() => bench.replica.restarts === 1);
    if (mayOverlap) await until(() => bench.replica.isRunning);
    else await delay(quietMs);
    assert.deepEqual([bench.machines[0]?.state, bench.reservations], ["stopping", mayOverlap ? 2 : 1]);
    goOn();
    await until(() => bench.replica.isRunning);
  }
});

test("Replica replaces its current machine on demand, and hears nothing more of it", async () => {
  await using bench = await Bench.run();
  const { replica } = bench;
  const [first] = bench.machines as [Machine];
  replica.replace(first, "it hangs", 0);
  assert.deepEqual([replica.isRunning, replica.restarts, replica.machine], [false, 1, undefined]);
  // Others may find at the same time that the machine hangs.
  replica.replace(first, "it hangs", 0);
  await until(() => replica.isRunning);
  replica.replace(first, "it hangs", 0);
  bench.events[0]?.exited({ code: 1 });
  bench.events[0]?.lost("gone");
  assert.deepEqual(bench.told, ["removed 0: it hangs", "restarting in 0 ms: it hangs"]);
  assert.deepEqual([replica.isRunning, replica.restarts, bench.ends, bench.reservations], [true, 1, [], 2]);
  assert.equal(replica.machine, bench.machines[1]);
});

test("Replica whose machine is replaced before it runs still gets another one", async () => {
  const gate = Promise.withResolvers<void>();
  await using bench = await Bench.make({ reserves: (index) => (index === 0 ? undefined : gate.promise) });
  const { replica } = bench;
  await replica.start();
  replica.replace(bench.machines[0] as Machine, "it hangs", 0);
  // The workload runs meanwhile, as its other machines do.
  replica.run();
  assert.deepEqual([replica.isRunning, replica.machine], [false, undefined]);
  gate.resolve();
  await until(() => replica.isRunning);
  assert.deepEqual([replica.machine, bench.machines.length], [bench.machines[1], 2]);
  assert.equal(replica.machine?.state, "running");
});

test("Replica whose restart gets no machine tries again, unless nothing can change that", async () => {
  for (const code of ["no_ready_machine", "artifact_not_found"] as const) {
    const reserves = (index: number): void => {
      if (index === 1) throw new NexError(code, "none");
    };
    await using bench = await Bench.run({ ...always, reserves });
    bench.agents[0]?.exit({ code: 1 });
    if (code === "no_ready_machine") {
      await until(() => bench.replica.isRunning && bench.reservations === 3);
      assert.deepEqual([bench.told[2], bench.ends], ["restarting in 2 ms: none", []]);
    } else {
      await until(() => bench.ends.length === 1);
      assert.deepEqual([bench.ends, bench.reservations], [[{ code: -1, reason: "none" }], 2]);
    }
  }
});

test("Replica goes on with a machine of an earlier node, and hears how its workload exits", async () => {
  await using bench = await Bench.make();
  const { replica } = bench;
  const machine = await bench.reserve();
  await bench.deploy(machine, replica.take(machine));
  replica.run();
  assert.deepEqual([replica.isRunning, replica.machine, replica.restarts], [true, machine, 0]);
  bench.agents[0]?.exit({ code: 6 });
  await until(() => bench.ends.length === 1);
  assert.deepEqual([bench.ends, machine.state], [[{ code: 6, reason: "status: 6" }], "stopping"]);
});

test("Replica whose machine did not outlive an earlier node starts on another one", async () => {
  await using bench = await Bench.make();
  bench.replica.startAgain("it is gone");
  assert.deepEqual([bench.replica.isRunning, bench.told], [false, ["restarting in 0 ms: it is gone"]]);
  await until(() => bench.replica.isRunning);
  assert.deepEqual([bench.replica.restarts, bench.replica.machine], [1, bench.machines[0]]);
});

/** A replica in the state in which it is stopped. */
interface Reached {
  bench: Bench;
  /** The start that runs. */
  starting?: Promise<void>;
  /** Lets happen that for which the replica waits. */
  goOn?: () => void;
  /** How the workload exits when it is asked to. */
  exit?: Exited;
}

/** A replica whose first workload has exited, so that it restarts. */
async function restarting(script: Script, isHeld = false): Promise<Reached> {
  const bench = await Bench.run({ ...always, ...script });
  const goOn = isHeld ? bench.holdEnd(0) : undefined;
  bench.agents[0]?.exit({ code: 1 });
  await until(() => bench.replica.restarts === 1);
  return { bench, ...(goOn === undefined ? {} : { goOn }) };
}

const states: [state: string, reach: () => Promise<Reached>][] = [
  ["has not started", async () => ({ bench: await Bench.make() })],
  [
    "waits for its first machine",
    async () => {
      const gate = Promise.withResolvers<void>();
      const bench = await Bench.make({ reserves: () => gate.promise });
      return { bench, starting: bench.replica.start(), goOn: gate.resolve };
    },
  ],
  [
    "starts on its first machine",
    async () => {
      const bench = await Bench.make({ workloads: [{ deployed: "held" }] });
      const starting = bench.replica.start();
      await until(() => bench.events.length === 1);
      return { bench, starting };
    },
  ],
  [
    "has started and does not run yet",
    async () => {
      const exit = { code: 5 };
      const bench = await Bench.make({ workloads: [{ stops: exit }] });
      await bench.replica.start();
      return { bench, exit };
    },
  ],
  [
    "runs",
    async () => {
      const exit = { signal: "SIGINT" };
      return { bench: await Bench.run({ ...always, workloads: [{ stops: exit }] }), exit };
    },
  ],
  ["waits before a restart", () => restarting({ backoff: new RestartBackoff(undefined, waitMs) })],
  [
    "waits for its previous machine to end",
    async () => {
      const reached = await restarting({}, true);
      await delay(quietMs);
      return reached;
    },
  ],
  [
    "waits for another machine",
    async () => {
      const gate = Promise.withResolvers<void>();
      const reached = await restarting({ reserves: (index) => (index === 0 ? undefined : gate.promise) });
      await until(() => reached.bench.reservations === 2);
      return { ...reached, goOn: gate.resolve };
    },
  ],
  [
    "starts on another machine",
    async () => {
      const reached = await restarting({ workloads: [{}, { deployed: "held" }] });
      await until(() => reached.bench.events.length === 2);
      return reached;
    },
  ],
];

for (const [state, reach] of states) {
  test(`Replica that ${state} can be stopped: its machine ends, and it does nothing more`, async () => {
    const { starting, goOn, exit, ...reached } = await reach();
    await using bench = reached.bench;
    const { replica } = bench;
    const refused = starting && assert.rejects(starting, { code: "workload_not_started" });
    const [ending, { machine }] = [replica.end(50), replica];
    assert.equal(replica.end(0), ending);
    if (goOn !== undefined) {
      assert.equal(await Promise.race([ending.then(() => "ended"), delay(quietMs, "waits")]), "waits");
      goOn();
    }
    assert.deepEqual(await ending, exit);
    await refused;
    assert.ok(bench.machines.every((used) => used.state === "stopped"));
    assert.deepEqual(bench.agents[0]?.graces, exit === undefined ? [] : [50]);
    // Neither its host nor anything that comes late starts it again.
    const { reservations, told } = bench;
    replica.run();
    if (machine !== undefined) replica.replace(machine, "late", 0);
    for (const events of bench.events) events.lost("late");
    const toldBefore = [...told];
    await delay(quietMs);
    assert.deepEqual([replica.isRunning, bench.ends], [false, []]);
    assert.deepEqual([bench.reservations, bench.told], [reservations, toldBefore]);
  });
}

test("Replica that has ended by itself can be stopped", async () => {
  await using bench = await Bench.run();
  bench.agents[0]?.exit({ code: 1 });
  await until(() => bench.ends.length === 1);
  assert.equal(await bench.replica.end(50), undefined);
  assert.deepEqual(
    [bench.machines[0]?.state, bench.agents[0]?.graces, bench.ends.length],
    ["stopped", [], 1],
  );
});
