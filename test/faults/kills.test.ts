/**
 * A node with many workloads is killed again and again while they are called. After each kill the next node must have
 * all of them, as they were. `npm run test:faults -- --kills 1000 --seed 7` is the long form; a failing seed replays.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { connectNex, type NexClient } from "@nexengine/client";
import { createKey, curveKeyOfSeed } from "@nexengine/protocol";
import { newSigner, startTestNatsServer, unmetSandboxRequirement, until } from "@nexengine/testing";
import { eventually } from "../../packages/testing/src/observe.ts";
import { seededRandom } from "../support/random.ts";
import { entries, Victim } from "../support/victim.ts";

const kills = Number(process.env["NEX_TEST_KILLS"] ?? 3);
const seed = Number(process.env["NEX_TEST_SEED"] ?? 1);
const workloadCount = 20;
const killMsMax = 400;
const source = "let calls = 0; module.exports = () => ++calls;";
const issuer = newSigner();
const publisher = curveKeyOfSeed(createKey("curve").seed);
const unmet = await unmetSandboxRequirement("container");

/** Calls every function all the time, and holds that its counter only grows: no call runs twice, no state is lost. */
class Callers {
  readonly counts = new Map<string, number>();
  readonly wrong: string[] = [];
  answered = 0;
  #stopped = false;
  readonly #running: Promise<void>[];

  constructor(client: NexClient, names: readonly string[]) {
    this.#running = names.map(async (name) => {
      while (!this.#stopped) {
        const reply = await client.call(name, "", { timeoutMs: 1_000 }).catch(() => undefined);
        if (reply === undefined) {
          await new Promise((resolve) => setTimeout(resolve, 20));
          continue;
        }
        const count = Number(Buffer.from(reply.data).toString());
        const last = this.counts.get(name) ?? 0;
        if (!(count > last)) this.wrong.push(`${name}: ${count} after ${last}`);
        this.counts.set(name, count);
        this.answered++;
      }
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

describe("kills of a node", unmet === undefined ? {} : { skip: unmet }, () => {
  test(`${kills} kills lose no workload and no state, and leave nothing (seed ${seed})`, {
    timeout: 120_000 + kills * 30_000,
  }, async (context) => {
    const next = seededRandom(seed);
    await using server = await startTestNatsServer();
    await using client = await connectNex({ servers: [server.url] });
    await using victim = new Victim({ server: server.url, sandbox: "container", nodeLostTimeoutMs: 600_000 });
    await victim.start();
    const names = Array.from({ length: workloadCount }, (_, at) => `w${at}`);
    const deployed = new Map<string, string>();
    for (const name of names) {
      const triggerSubjects = [name];
      const artifact = { bytes: Buffer.from(source) };
      const given = { name, type: "v8", issuer, publisher, artifact, triggerSubjects } as const;
      deployed.set(name, (await client.deploy(given)).id);
    }
    const callers = new Callers(client, names);
    after(() => callers.stop());
    const restartMs: number[] = [];
    for (let kill = 0; kill < kills; kill++) {
      await new Promise((resolve) => setTimeout(resolve, next() * killMsMax));
      const answered = new Map(callers.counts);
      await victim.end("SIGKILL");
      const startedAt = performance.now();
      await victim.start();
      restartMs.push(performance.now() - startedAt);
      const [node] = await client.nodes();
      const { machines } = await client.info(node?.node_id ?? "");
      const running = new Map(machines.map(({ workload, id }) => [workload.name, id]));
      assert.deepEqual([...running].sort(), [...deployed].sort(), `workloads after kill ${kill + 1}`);
      // Each answers again, in the machine that it had.
      await until(() => names.every((name) => (callers.counts.get(name) ?? 0) > (answered.get(name) ?? 0)));
      assert.deepEqual(callers.wrong, []);
    }
    await callers.stop();
    const nodeId = (await client.nodes())[0]?.node_id ?? "";
    for (const [name, workloadId] of deployed) await client.stop({ nodeId, workloadId, name, issuer });
    // The pool has machines of its own.
    await eventually(async () =>
      entries(join(victim.directory, "deploys")).length === 0 ? true : undefined,
    );
    await victim.end("SIGTERM");
    assert.deepEqual(victim.orphans(), []);
    assert.deepEqual(readdirSync(join(victim.directory, "machines")), []);
    restartMs.sort((one, other) => one - other);
    const median = Math.round(restartMs[Math.floor(restartMs.length / 2)] ?? 0);
    context.diagnostic(
      `${kills} kills, ${workloadCount} workloads, ${callers.answered} calls answered, median start of the next node ${median} ms`,
    );
  });
});
