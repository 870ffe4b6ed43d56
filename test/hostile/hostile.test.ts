/** Hostile workloads in containers: none gets out, none harms a neighbour, and nothing is left of any. */
import { after, before, describe, test } from "node:test";

import { hostileCases } from "./cases/all.ts";
import { Field } from "./support/field.ts";
import { unmetHostileRequirement } from "./support/requirements.ts";

const unmet = await unmetHostileRequirement();
const suiteMsMax = 900_000;

describe("a hostile workload in a container", { skip: unmet ?? false, timeout: suiteMsMax }, () => {
  let field: Field | undefined;
  before(async () => {
    field = await Field.start({ sandbox: "container" });
  });
  after(() => field?.[Symbol.asyncDispose]());

  for (const hostile of hostileCases) {
    test(`${hostile.kind}: ${hostile.name}`, () => field?.run(hostile));
  }
});
