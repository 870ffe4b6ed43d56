/** Hostile workloads in microVMs; in `npm test` those that a kernel of its own makes different, and the strongest. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { hostileCases } from "./cases/all.ts";
import { Field } from "./support/field.ts";
import { longRun, unmetHostileRequirement } from "./support/requirements.ts";

const suiteMsMax = 3_600_000;
const everyRun: ReadonlySet<string> = new Set([
  ...["memory of others", "device nodes", "root", "settings of the kernel", "a walk of /proc"],
  ...["the node's files", "a search for secrets", "the root file system", "signals outwards"],
  ...["the channel directory", "a second connection", "the channel of calls", "the end of its agent"],
  ...["vsock", "abstract sockets", "the host's loopback", "the host's addresses", "the internet"],
  ...["a fork bomb", "a memory bomb", "a full disk", "a deaf service"],
  ...["an endless loop", "a memory bomb of objects"],
  ...["garbage", "flood of log frames", "relay beyond the window", "channel let go", "channels by Node"],
]);

test("what runs in microVMs every time is among the hostile cases", () => {
  const names = new Set(hostileCases.map(({ name }) => name));
  assert.deepEqual(everyRun.difference(names), new Set());
});

for (const sandbox of ["qemu", "firecracker"] as const) {
  const unmet = await unmetHostileRequirement(sandbox);
  describe(`a hostile workload in a microVM of ${sandbox}`, {
    skip: unmet ?? false,
    timeout: suiteMsMax,
  }, () => {
    let field: Field | undefined;
    before(async () => {
      field = await Field.start({ sandbox });
    });
    after(() => field?.[Symbol.asyncDispose]());

    for (const hostile of hostileCases.filter(({ name }) => longRun || everyRun.has(name))) {
      test(`${hostile.kind}: ${hostile.name}`, () => field?.run(hostile));
    }
  });
}
