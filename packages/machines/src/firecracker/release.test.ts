import assert from "node:assert/strict";
import { test } from "node:test";
import { newerReleaseAdvice, releaseNote } from "./release.ts";
import { findUnmetFirecrackerRequirement } from "./requirements.ts";

test("releaseNote says that a release is out of support, or which release is tested", () => {
  for (const version of ["1.12.1", "1.11.0", "0.25.2"])
    assert.match(releaseNote(version), /^out of support since/);
  for (const version of ["1.13.0", "1.15.2", "2.0.0", "unknown"])
    assert.equal(releaseNote(version), "tested with 1.12");
});

test("a host without Firecracker is told which release is pinned, and why to use a newer one", async (context) => {
  const missing = "/nowhere/firecracker";
  const unmet = await findUnmetFirecrackerRequirement({
    program: missing,
    jailer: missing,
    boot: { kernel: missing, initramfs: missing },
  });
  assert.ok(unmet !== undefined);
  // On a host without KVM, the missing KVM is reported first.
  if (!unmet.reason.includes(missing)) return context.skip(unmet.reason);
  assert.ok(unmet.advice.includes(newerReleaseAdvice));
});
