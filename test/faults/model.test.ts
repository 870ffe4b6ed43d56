/**
 * Requests and faults in an order that a seed repeats, against a model of what must be true. `npm run test:faults --
 * --seed N --minutes M` is the long form; a failing run prints its steps.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { probeService, unmetSandboxRequirement } from "@nexengine/testing";
import { hostAbilities } from "./model/host-abilities.ts";
import { Run } from "./model/run.ts";
import { World } from "./model/world.ts";

const seed = Number(process.env["NEX_TEST_SEED"] ?? 1);
/** A run takes so long, and then as long as its last step and its end take. */
const runMs =
  process.env["NEX_TEST_MINUTES"] === undefined ? 25_000 : Number(process.env["NEX_TEST_MINUTES"]) * 60_000;
const endMsMax = 300_000;
/** An idle node of the second half may have so much more in the end than in the middle. */
const grownMibMax = 150;
const grownDescriptorsMax = 20;

const unmet = await unmetSandboxRequirement("container");

describe("a nexus with faults", unmet === undefined ? {} : { skip: unmet }, () => {
  test(`keeps what it has accepted, handles no message twice, and leaves nothing (seed ${seed})`, {
    timeout: runMs + endMsMax,
  }, async (context) => {
    const probe = await probeService();
    const abilities = await hostAbilities((line) => context.diagnostic(line));
    const steps: string[] = [];
    const showSteps = (): void =>
      console.error(`Steps of seed ${seed}:\n${steps.map((step, at) => `${at + 1}. ${step}`).join("\n")}`);
    // Also when the test's time is over.
    let isOver = false;
    context.signal.addEventListener("abort", () => {
      if (!isOver) showSteps();
    });
    await using world = await World.create(abilities, probe?.path);
    await world.startNode();
    try {
      const run = new Run(world, seed, (line) => steps.push(line));
      await run.steps(runMs / 2, true);
      const middle = await run.rest();
      await run.steps(runMs / 2, false);
      const end = await run.rest();
      await world.victim.end("SIGTERM");
      assert.deepEqual(world.leftovers.find(), []);
      assert.ok(end.residentMib - middle.residentMib <= grownMibMax, "memory has grown");
      assert.ok(end.descriptors - middle.descriptors <= grownDescriptorsMax, "descriptors have grown");
      isOver = true;
      const { sent, answered } = world.messages.counts;
      context.diagnostic(`${steps.length} steps, ${sent} messages sent, ${answered} answered`);
      context.diagnostic(
        `idle node, middle and end: ${middle.residentMib} and ${end.residentMib} MiB, ${middle.descriptors} and ${end.descriptors} descriptors`,
      );
    } catch (error) {
      isOver = true;
      showSteps();
      throw error;
    }
  });
});
