/** The hostile cases are tested themselves: with a defence taken away, some of them must fail. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hostileCases } from "./cases/all.ts";
import type { HostileCase } from "./cases/case.ts";
import { type Defence, defences } from "./support/defences.ts";
import { Field } from "./support/field.ts";
import { longRun, unmetHostileRequirement } from "./support/requirements.ts";
import { writeWeakRuntime } from "./support/weak-runtime.ts";

const unmet = await unmetHostileRequirement();
const suiteMsMax = 900_000;
const timeout = 300_000;

/** In the long run all services that are quick; else those that are named. */
function casesFor({ noticedBy }: Defence): HostileCase[] {
  return hostileCases.filter(
    ({ name, kind, slow = false }) => noticedBy.includes(name) || (longRun && kind === "service" && !slow),
  );
}

async function failuresWithout(defence: Defence): Promise<string[]> {
  const failed: string[] = [];
  await using field = await Field.start({
    sandbox: "container",
    runtime: (directory) => writeWeakRuntime(directory, defence.takeAway, false),
  });
  for (const hostile of casesFor(defence)) {
    try {
      await field.run(hostile);
    } catch (error) {
      assert.ok(error instanceof assert.AssertionError, String(error));
      failed.push(hostile.name);
    }
  }
  return failed;
}

describe("the hostile cases", { skip: unmet ?? false, timeout: suiteMsMax }, () => {
  for (const defence of defences.filter(({ inEveryRun = false }) => inEveryRun || longRun)) {
    test(`notice that ${defence.name} is missing`, { timeout }, async (context) => {
      const failed = await failuresWithout(defence);
      context.diagnostic(`without ${defence.name}: ${failed.join("; ")}`);
      assert.deepEqual(
        defence.noticedBy.filter((name) => !failed.includes(name)),
        [],
      );
    });
  }
});

describe("a node", { skip: unmet ?? false, timeout: suiteMsMax }, () => {
  for (const { name, takeAway, refusedByNode } of defences.filter((one) => one.inEveryRun || longRun)) {
    if (refusedByNode === undefined) continue;
    test(`does not start with a runtime that leaves out ${name}`, async () => {
      const start = async (): Promise<void> => {
        await using _field = await Field.start({
          sandbox: "container",
          runtime: (directory) => writeWeakRuntime(directory, takeAway, true),
        });
      };
      await assert.rejects(start, { code: "sandbox_unavailable", message: refusedByNode });
    });
  }
});
