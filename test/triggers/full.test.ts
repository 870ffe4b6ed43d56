/** Copies of a function that are full: those on subjects leave further calls to the others, or refuse them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Msg } from "@nats-io/nats-core";
import type { Deployment, TriggerRequest } from "@nexengine/client";
import { startTestNexus, startTestNode, type TestNexus } from "@nexengine/testing";
import { eventually, until } from "../../packages/testing/src/observe.ts";

/** Waits at the gate, where its environment says so, and tells its name. One call at a time. */
const gated = `module.exports = async () => {
  if (env.GATE !== undefined) await hostServices.promises.messaging.request(env.GATE, "", { timeoutMs: 60000 });
  return new TextEncoder().encode(env.COPY);
};`;

const queuedCallsMax = 64;
const config = { functions: { max_queued_calls: queuedCallsMax } };
const tuning = { callTimeMs: 60_000 };
const refusing: TriggerRequest = { type: "subject", subject: "f", when_full: "refuse" };
/** Together with those that wait below the mark, fewer than the queue holds. */
const callsAtOnce = 20;
const rounds = 30;

/** Calls of a function that stops at it do not go on before it is opened. */
class Gate {
  #isOpen = false;
  readonly #waiting: Msg[] = [];

  constructor({ client }: TestNexus) {
    client.connection.subscribe("gate", {
      callback: (_, message) => {
        if (this.#isOpen) message.respond();
        else this.#waiting.push(message);
      },
    });
  }

  /** Whether a call waits at it. */
  get isReached(): boolean {
    return this.#waiting.length > 0;
  }

  open(): void {
    this.#isOpen = true;
    for (const message of this.#waiting.splice(0)) message.respond();
  }
}

/** Outcomes of calls: the name of the copy that answered, or the code of the error. */
class Outcomes {
  readonly all: string[] = [];
  readonly #nexus: TestNexus;
  readonly #nodeIds: readonly string[];

  constructor(nexus: TestNexus, nodeIds: readonly string[]) {
    this.#nexus = nexus;
    this.#nodeIds = nodeIds;
  }

  async #call(): Promise<void> {
    try {
      this.all.push(await this.#nexus.call("f"));
    } catch (error) {
      this.all.push((error as { code: string }).code);
    }
  }

  /** Calls often at once. Returns when the nodes have taken the calls, and the server what the nodes did then. */
  async round(): Promise<void> {
    for (let call = 0; call < callsAtOnce; call++) void this.#call();
    await Promise.all(this.#nodeIds.map((id) => this.#nexus.client.info(id)));
  }

  of(outcome: string): number {
    return this.all.filter((one) => one === outcome).length;
  }
}

async function deployGated(
  nexus: TestNexus,
  node: string,
  environment: Record<string, string>,
  triggers: TriggerRequest[] = [],
): Promise<Deployment> {
  const options = { name: "f", node, environment, concurrency: 1, triggers };
  return await nexus.function(gated, triggers.length === 0 ? options : { ...options, triggerSubjects: [] });
}

/** Two copies, of which one takes calls and does not get on with them, while many calls come. */
async function withStuckCopy(
  triggers: TriggerRequest[],
  run: (nexus: TestNexus, outcomes: Outcomes, gate: Gate, stuck: Deployment) => Promise<void>,
): Promise<void> {
  // The quick copy has places for all calls, so the test does not depend on how quick it is.
  await using nexus = await startTestNexus({ tuning });
  await using other = await startTestNode({ server: nexus.server.url, config, tuning });
  const gate = new Gate(nexus);
  await deployGated(nexus, nexus.node.id, { COPY: "quick" }, [refusing]);
  const stuck = await deployGated(nexus, other.id, { COPY: "stuck", GATE: "gate" }, triggers);
  const outcomes = new Outcomes(nexus, [nexus.node.id, other.id]);
  for (let round = 0; round < rounds; round++) await outcomes.round();
  await run(nexus, outcomes, gate, stuck);
}

for (const [kind, triggers] of [
  ["a subject of trigger_subjects", []],
  ["a trigger of the kind subject", [{ type: "subject", subject: "f" }]],
] as const) {
  test(`a full copy leaves ${kind} to the others, refuses nothing that it got, and comes back`, async () => {
    await withStuckCopy([...triggers], async (nexus, outcomes, gate) => {
      // The marks: some wait with the machine, the others on the node.
      const stuckMax = 33 + queuedCallsMax;
      await until(() => outcomes.all.length >= rounds * callsAtOnce - stuckMax);
      assert.deepEqual([outcomes.all.length, 0], [outcomes.of("quick"), outcomes.of("function_overloaded")]);
      gate.open();
      await until(() => outcomes.all.length === rounds * callsAtOnce);
      assert.equal(outcomes.of("quick") + outcomes.of("stuck"), rounds * callsAtOnce);
      assert.ok(outcomes.of("stuck") > 32, `${outcomes.of("stuck")}`);
      await eventually(async () => ((await nexus.call("f")) === "stuck" ? true : undefined));
    });
  });
}

test("a full copy that refuses does so, although another copy has room", async () => {
  await withStuckCopy([refusing], async (_, outcomes, gate) => {
    await until(() => outcomes.of("function_overloaded") > 0);
    gate.open();
    await until(() => outcomes.all.length === rounds * callsAtOnce);
    assert.ok(outcomes.of("function_overloaded") < rounds * callsAtOnce);
  });
});

test("a single full copy leaves callers an answer at once, and comes back", async () => {
  await using nexus = await startTestNexus({ config, tuning });
  const gate = new Gate(nexus);
  await deployGated(nexus, nexus.node.id, { COPY: "only", GATE: "gate" });
  const outcomes = new Outcomes(nexus, [nexus.node.id]);
  while (outcomes.of("node_not_found") === 0) await outcomes.round();
  await assert.rejects(nexus.client.call("f"), {
    code: "node_not_found",
    message: 'Cannot call "f": nobody answers on this subject, or no copy has room',
  });
  assert.equal(outcomes.of("function_overloaded"), 0);
  gate.open();
  assert.equal(await eventually(() => nexus.call("f").catch(() => undefined)), "only");
});

test("a full copy can be stopped: the calls that it has are answered, and nothing comes back", async () => {
  await using nexus = await startTestNexus({ config, tuning });
  const gate = new Gate(nexus);
  const only = await deployGated(nexus, nexus.node.id, { COPY: "only", GATE: "gate" });
  const outcomes = new Outcomes(nexus, [nexus.node.id]);
  let asked = 0;
  for (; outcomes.of("node_not_found") === 0; asked += callsAtOnce) await outcomes.round();
  await until(() => gate.isReached);
  const stopping = nexus.stop(only);
  await until(() => outcomes.of("function_stopped") > 0);
  gate.open();
  await stopping;
  await until(() => outcomes.all.length === asked);
  assert.equal(outcomes.of("node_not_found") + outcomes.of("function_stopped") + outcomes.of("only"), asked);
  await assert.rejects(nexus.client.call("f"), { code: "node_not_found" });
});
