/** The time that a node takes to adopt many machines, beyond that of a node without any: `npm run test:faults`. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connectNex } from "@nexengine/client";
import { createKey, curveKeyOfSeed } from "@nexengine/protocol";
import { newSigner, startTestNatsServer, unmetSandboxRequirement } from "@nexengine/testing";
import { Victim } from "../support/victim.ts";

const workloadCount = 50;
const starts = 5;
const aimMs = 1_000;
const isLong = process.env["NEX_TEST_FAULTS"] === "long";
const unmet = isLong ? await unmetSandboxRequirement("container") : "it takes a minute: npm run test:faults";

/** Kills a node, and starts the next one. @returns the time until that takes deploys */
async function restartMs(victim: Victim): Promise<number> {
  await victim.end("SIGKILL");
  const startedAt = performance.now();
  await victim.start();
  return performance.now() - startedAt;
}

function median(times: readonly number[]): number {
  return Math.round(times.toSorted((one, other) => one - other)[Math.floor(times.length / 2)] ?? 0);
}

describe("the start of a node", unmet === undefined ? {} : { skip: unmet }, () => {
  test(`with ${workloadCount} containers to adopt`, { timeout: 600_000 }, async (context) => {
    await using server = await startTestNatsServer();
    await using other = await startTestNatsServer();
    await using client = await connectNex({ servers: [server.url] });
    const options = { sandbox: "container", nodeLostTimeoutMs: 600_000 } as const;
    await using full = new Victim({ ...options, server: server.url });
    await using empty = new Victim({ ...options, server: other.url });
    await full.start();
    await empty.start();
    const issuer = newSigner();
    const publisher = curveKeyOfSeed(createKey("curve").seed);
    const artifact = { bytes: Buffer.from("let calls = 0; module.exports = () => ++calls;") };
    const names = Array.from({ length: workloadCount }, (_, at) => `w${at}`);
    for (const name of names)
      await client.deploy({ name, type: "v8", issuer, publisher, artifact, triggerSubjects: [name] });
    const times = { empty: [] as number[], full: [] as number[] };
    for (let start = 0; start < starts; start++) {
      times.empty.push(await restartMs(empty));
      times.full.push(await restartMs(full));
      const [node] = await client.nodes();
      assert.equal((await client.info(node?.node_id ?? "")).machines.length, workloadCount);
    }
    for (const name of names) assert.equal(Buffer.from((await client.call(name, "")).data).toString(), "1");
    const beyondMs = median(times.full) - median(times.empty);
    context.diagnostic(
      `median start of ${starts}: empty ${median(times.empty)} ms, with ${workloadCount} adopted ${median(times.full)} ms: ${beyondMs} ms more (aim: ${aimMs} ms)`,
    );
  });
});
