/** The guide's text about plain processes is true: the harmless cases run there, and get through where it says so. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { hostileCases } from "./cases/all.ts";
import { Field } from "./support/field.ts";
import { longRun, unmetHostileRequirement } from "./support/requirements.ts";

const unmet = await unmetHostileRequirement();
const suiteMsMax = 900_000;

describe("a hostile workload in a plain process", { skip: unmet ?? false, timeout: suiteMsMax }, () => {
  let field: Field | undefined;
  before(async () => {
    field = await Field.start({ sandbox: "process" });
  });
  after(() => field?.[Symbol.asyncDispose]());

  const tried = hostileCases.filter(
    ({ triedOnProcess = false, kind }) => triedOnProcess && (kind === "service" || longRun),
  );
  for (const hostile of tried) {
    test(`${hostile.kind}: ${hostile.name} is ${hostile.onProcess}`, async () => {
      if (hostile.onProcess === "held") await field?.run(hostile);
      else
        await assert.rejects(async () => field?.run(hostile), {
          code: "ERR_ASSERTION",
          message: /ESCAPED|held/,
        });
    });
  }
});
