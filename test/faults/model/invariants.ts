/** Compares what runs with what the model says. */
import { readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { errorText } from "@nexengine/protocol/errors";
import { commandLineOf } from "@nexengine/testing";
import type { Expected, Model } from "./model.ts";
import { namespaces } from "./schedule.ts";
import type { World } from "./world.ts";

/** The nexus has so long to be as it must be after a fault. */
const settleMsMax = 60_000;
const pollMs = 50;
const infoTimeoutMs = 5_000;
/** A function has so long to answer a message once its node is well. */
const replyMsMax = 5_000;

/** Waits until nothing is wrong any more. @returns what still is after a minute */
export async function settle(world: World, model: Model): Promise<string[]> {
  const deadline = performance.now() + settleMsMax;
  for (;;) {
    const wrong = await violations(world, model);
    if (wrong.length === 0 || performance.now() > deadline) return wrong;
    await delay(pollMs);
  }
}

async function violations(world: World, model: Model): Promise<string[]> {
  world.leftovers.note();
  const wrong = world.messages.violations();
  let running: Map<string, string>;
  try {
    running = await workloadsOf(world);
  } catch (error) {
    return [...wrong, `the node does not answer: ${errorText(error)}`];
  }
  learn(model, running);
  const marks = serviceCounts();
  for (const expected of model.workloads.values()) {
    const count = marks.get(expected.mark) ?? 0;
    const found = [...running].filter(([, name]) => name === expected.plan.name).map(([id]) => id);
    wrong.push(...compare(world, expected, found, count));
  }
  const known = new Set(model.workloads.keys());
  for (const [id, name] of running)
    if (!known.has(name)) wrong.push(`${name} (${id}) runs and nobody asked for it`);
  if (wrong.length === 0) wrong.push(...(await silentFunctions(world, model)));
  return wrong;
}

/** Names of the workloads that run, by id. */
async function workloadsOf(world: World): Promise<Map<string, string>> {
  const running = new Map<string, string>();
  for (const namespace of namespaces) {
    const { machines } = await world.client(namespace).info(world.nodeId, infoTimeoutMs);
    for (const { id, workload } of machines) running.set(id, workload.name);
  }
  return running;
}

/** Unanswered requests show in what runs. */
function learn(model: Model, running: ReadonlyMap<string, string>): void {
  for (const [id, name] of running) {
    const expected = model.workloads.get(name);
    if (expected?.belief !== "unknown") continue;
    expected.belief = "running";
    expected.id = id;
  }
  for (const expected of model.live) {
    if (expected.belief === "ending" && !running.has(expected.id ?? "")) expected.belief = "gone";
  }
}

/** @param found Ids of running workloads of that name. @param processes Processes of a service. */
function compare(world: World, expected: Expected, found: readonly string[], processes: number): string[] {
  const { plan, belief, id } = expected;
  const replicas = plan.kind === "service" ? plan.replicas : 0;
  const wrong: string[] = [];
  if (found.length > 1) wrong.push(`${plan.name} runs ${found.length} times`);
  if (found.length > 0 && id !== undefined && found[0] !== id) wrong.push(`${plan.name} has another id`);
  if (belief === "running" && found.length === 0) {
    const reason = world.endReasons.get(id ?? "");
    if (hasLeaveToEnd(expected, reason)) expected.belief = "gone";
    else wrong.push(`${plan.name} was accepted and does not run (${reason ?? "no reason was told"})`);
  }
  if (belief === "gone" && found.length > 0) wrong.push(`${plan.name} is over and runs`);
  if (belief === "gone" && processes > 0) wrong.push(`${plan.name} is over and has ${processes} processes`);
  // A replica of a service that is not essential ends with its machine.
  const isEnough =
    processes === replicas || (expected.mayHaveEnded && !plan.essential && processes < replicas);
  if (belief === "running" && found.length > 0 && !isEnough)
    wrong.push(`${plan.name} has ${processes} processes instead of ${replicas}`);
  return wrong;
}

/** Whether a workload may be gone although nobody has stopped it. */
function hasLeaveToEnd({ plan, mayHaveEnded }: Expected, reason: string | undefined): boolean {
  if (!mayHaveEnded) return false;
  return (plan.kind === "service" && !plan.essential) || reason?.includes("restarted too often") === true;
}

/** Functions that do not answer. */
async function silentFunctions(world: World, model: Model): Promise<string[]> {
  const functions = [...model.live].filter(
    ({ plan, belief }) => plan.kind === "function" && belief === "running",
  );
  const sent = functions.map(({ plan }) => [plan.name, world.messages.send(plan.name)] as const);
  const deadline = performance.now() + replyMsMax;
  const waiting = (): string[] =>
    sent.filter(([, number]) => !world.messages.hasReply(number)).map(([name]) => `${name} does not answer`);
  while (waiting().length > 0 && performance.now() < deadline) await delay(pollMs);
  return waiting();
}

/** Number of processes of each service, by its mark. */
function serviceCounts(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const pid of readdirSync("/proc")) {
    const [, mark] = /\0(model-[0-9a-f]{12})\0wait\0/.exec(/^\d+$/.test(pid) ? commandLineOf(pid) : "") ?? [];
    if (mark !== undefined) counts.set(mark, (counts.get(mark) ?? 0) + 1);
  }
  return counts;
}
