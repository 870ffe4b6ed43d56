import assert from "node:assert/strict";
import { test } from "node:test";
import { newerReleaseAdvice, releaseNote } from "./release.ts";
import { findUnmetFirecrackerRequirement } from "./requirements.ts";

test("releaseNote says of a release that it is out of support, or with which one the tests run", () => {
  for (const version of ["1.12.1", "1.11.0", "0.25.2"])
    assert.match(releaseNote(version), /^out of support since/);
  for (const version of ["1.13.0", "1.15.2", "2.0.0", "unknown"])
    assert.equal(releaseNote(version), "tested with 1.12");
});

test("whoever lacks Firecracker hears which release is pinned, and why to take another", async (context) => {
  const missing = "/nowhere/firecracker";
  const unmet = await findUnmetFirecrackerRequirement({
    program: missing,
    jailer: missing,
    boot: { kernel: missing, initramfs: missing },
  });
  assert.ok(unmet !== undefined);
  // A host without KVM hears of that first.
  if (!unmet.reason.includes(missing)) return context.skip(unmet.reason);
  assert.ok(unmet.advice.includes(newerReleaseAdvice));
});
