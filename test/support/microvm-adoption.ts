/** The test that microVMs outlive their node, for each kind of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { createKey, curveKeyOfSeed, type MachineInfo } from "@nexengine/protocol";
import { newSigner, probeService, startTestNatsServer, until } from "@nexengine/testing";
import { Leftovers } from "../faults/leftovers.ts";
import { Victim } from "./victim.ts";

/** Emulated machines are slow in all that they do. */
const tuning = { machineWaitMs: 300_000, deployTimeMs: 120_000, callTimeMs: 60_000, stopGraceMs: 15_000 };
const timeoutMs = 1_200_000;
const answerTimeoutMs = 300_000;
const tickMs = 5_000;
const ticks = 60;
const source = 'let calls = 0; module.exports = () => { console.log("call " + ++calls); return calls; };';

/** Declares the test. It takes some boots, each of some seconds where the processor is emulated. */
export function testMicroVmAdoption(sandbox: "qemu" | "firecracker", skip: string | false): void {
  const title = `a killed node is followed by one that takes its microVMs over, with their state and logs (${sandbox})`;
  test(title, { skip, timeout: timeoutMs }, async (context) => {
    const probe = await probeService();
    if (probe === undefined) return context.skip("no C compiler builds the service here");
    await using server = await startTestNatsServer();
    await using client = await connectNex({ servers: [server.url] });
    await using victim = new Victim({
      ...{ server: server.url, sandbox, nodeLostTimeoutMs: 3_600_000, tuning },
    });
    const leftovers = new Leftovers(victim);
    const texts: string[] = [];
    await using feed = client.logs();
    void (async () => {
      for await (const { text } of feed) texts.push(text);
    })();
    const workloads = async (): Promise<MachineInfo[]> => {
      const [node] = await client.nodes();
      return (await client.info(node?.node_id ?? "")).machines;
    };
    const call = async (): Promise<string> =>
      Buffer.from((await client.call("count", "", { timeoutMs: answerTimeoutMs })).data).toString();
    await victim.start();
    const issuer = newSigner();
    const shared = { issuer, publisher: curveKeyOfSeed(createKey("curve").seed), timeoutMs: answerTimeoutMs };
    const counting = await client.deploy({
      ...{ ...shared, name: "count", type: "v8", triggerSubjects: ["count"] },
      artifact: { bytes: Buffer.from(source) },
    });
    const words = (at: number): string[] => ["out", `tick ${at}`, "sleep", String(tickMs)];
    const ticking = await client.deploy({
      ...{ ...shared, name: "tick", type: "native", artifact: { path: probe.path } },
      argv: [...Array.from({ length: ticks }, (_, at) => words(at)).flat(), "wait"],
    });
    assert.deepEqual([await call(), await call()], ["1", "2"]);
    await until(() => texts.includes("tick 0") && texts.includes("call 2"));
    leftovers.note();
    await victim.end("SIGKILL");
    const heard = lastTick(texts);
    const startedAt = performance.now();
    await victim.start();
    const startMs = Math.round(performance.now() - startedAt);
    assert.equal(await call(), "3");
    await until(() => texts.includes("call 3") && lastTick(texts) > heard);
    const running = await workloads();
    assert.deepEqual(
      running.map(({ id, nex }) => [id, nex?.restarts ?? 0]).sort(),
      [counting.id, ticking.id].map((id) => [id, 0]).sort(),
    );
    assert.equal(texts.filter((text) => text === "tick 0").length, 1);
    leftovers.note();
    for (const { id, name, nodeId } of [counting, ticking])
      await client.stop({ workloadId: id, name, nodeId, issuer, timeoutMs: answerTimeoutMs });
    await victim.end("SIGTERM");
    assert.deepEqual(leftovers.find(), []);
    context.diagnostic(`the next node was there ${startMs} ms after its start, with both microVMs`);
  });
}

function lastTick(texts: readonly string[]): number {
  return Math.max(-1, ...texts.map((text) => Number(/^tick (\d+)$/.exec(text)?.[1] ?? -1)));
}
