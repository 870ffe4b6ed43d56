/** Holds the next node to what the clients of the dead one were answered. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { connectNex, type NexClient } from "@nexengine/client";
import { readState } from "@nexengine/node/internal";
import { commandLineOf } from "@nexengine/testing";
import { eventually } from "../../../packages/testing/src/observe.ts";
import { entries, type Victim } from "../../support/victim.ts";
import type { Leftovers } from "../leftovers.ts";
import { type Asked, issuer } from "./story.ts";

/** A workload as the next node tells of it. */
interface Running {
  id: string;
  name: string;
}

/** Checks the node that follows, stops all that it runs, ends it, and checks that nothing is left. */
export async function checkNextNode(
  victim: Victim,
  server: string,
  asked: readonly Asked[],
  leftovers: Leftovers,
): Promise<void> {
  await using client = await connectNex({ servers: [server] });
  const [node] = await client.nodes();
  const nodeId = node?.node_id ?? "";
  const list = async (): Promise<Running[]> =>
    (await client.info(nodeId)).machines.map(({ id, workload: { name } }) => ({ id, name }));
  const running = await list();
  for (const one of asked) await checkOne(client, one, running);
  const known = new Set(asked.map(({ name }) => name));
  assert.deepEqual(
    running.filter(({ name }) => !known.has(name)),
    [],
    "workloads that nobody asked for",
  );
  const state = await readState(victim.directory);
  assert.deepEqual(state.unreadable, []);
  assert.deepEqual(state.workloads.map(({ id }) => id).sort(), running.map(({ id }) => id).sort());
  await machinesHaveRecords(victim);
  leftovers.note();
  for (const { id, name } of running) await client.stop({ nodeId, workloadId: id, name, issuer });
  assert.deepEqual(await list(), []);
  await victim.end("SIGTERM");
  assert.deepEqual(leftovers.find(), []);
}

async function checkOne(client: NexClient, asked: Asked, running: readonly Running[]): Promise<void> {
  const { name, id, stop, mark } = asked;
  const found = running.filter((one) => one.name === name);
  assert.ok(found.length <= 1, `${name} runs ${found.length} times`);
  const [one] = found;
  const replaced = running.find((other) => other.name === asked.replaces);
  assert.ok(one === undefined || replaced === undefined, `${name} runs beside ${asked.replaces}`);
  if (stop === "answered") assert.equal(one, undefined, `${name} was stopped and runs again`);
  if (id !== undefined && stop === undefined) assert.equal(one?.id, id, `${name} was accepted and is lost`);
  if (id !== undefined && one !== undefined) assert.equal(one.id, id);
  if (mark !== undefined) {
    const wanted = one === undefined ? 0 : 1;
    await eventually(async () => (processes(mark) === wanted ? true : undefined));
  } else if (one !== undefined) {
    await eventually(() => client.call(name, "", { timeoutMs: 2_000 }).catch(() => undefined));
  } else {
    // Nobody listens on its subject.
    await assert.rejects(client.call(name, "", { timeoutMs: 2_000 }), { code: "node_not_found" });
  }
}

function processes(mark: string): number {
  return readdirSync("/proc").filter(
    (pid) => /^\d+$/.test(pid) && commandLineOf(pid).includes(`\0${mark}\0wait\0`),
  ).length;
}

/** Waits until each machine directory has a record and each record a directory, where the machines have records. */
async function machinesHaveRecords({ directory, options }: Victim): Promise<void> {
  if (options.sandbox === "process") return;
  await eventually(async () => {
    const records = entries(join(directory, "records")).sort().join();
    const machines = entries(join(directory, "machines")).sort();
    return records === machines.map((id) => `${id}.json`).join() ? true : undefined;
  });
}
