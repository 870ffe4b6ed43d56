import assert from "node:assert/strict";
import { test } from "node:test";
import { probeLine, sandboxOf, stateOf } from "./sandbox.ts";

test("sandboxOf takes the option before the configuration, and the strongest without either", () => {
  assert.equal(sandboxOf({}, {}), "auto");
  assert.equal(sandboxOf({}, { sandbox: "container" }), "container");
  assert.equal(sandboxOf({ sandbox: "process" }, { sandbox: "container" }), "process");
  assert.equal(sandboxOf({ sandbox: "auto" }, { sandbox: "process" }), "auto");
});

test("sandboxOf takes no_sandbox for plain processes, and false for nothing said", () => {
  assert.equal(sandboxOf({}, { no_sandbox: true }), "process");
  assert.equal(sandboxOf({ sandbox: "process" }, { no_sandbox: true, sandbox: "process" }), "process");
  assert.equal(sandboxOf({}, { no_sandbox: false }), "auto");
  assert.equal(sandboxOf({ sandbox: "container" }, { no_sandbox: false }), "container");
});

for (const sandbox of ["auto", "container", "qemu", "firecracker"] as const) {
  test(`sandboxOf refuses --sandbox ${sandbox} beside no_sandbox`, () => {
    assert.throws(() => sandboxOf({ sandbox }, { no_sandbox: true }), {
      code: "config_invalid",
      message: `Cannot start a node: no_sandbox and sandbox "${sandbox}" contradict each other`,
    });
  });
}

test("stateOf is the directory that was named, or a free one of the user's", () => {
  assert.deepEqual(stateOf({ stateDirectory: "/srv/nex" }), { directory: "/srv/nex" });
  assert.match(stateOf({}).nodesDirectory ?? "", /\.nex\/nodes$/);
});

test("probeLine says what was found, or why nothing was", () => {
  const details = { runc: "1.3.0", cgroup: "2" };
  assert.equal(
    probeLine({ kind: "container", found: { available: true, details } }),
    "container, runc 1.3.0, cgroup 2",
  );
  assert.equal(
    probeLine({ kind: "qemu", found: { available: false, reason: "no QEMU", advice: "install it" } }),
    "qemu: no QEMU",
  );
});
