import assert from "node:assert/strict";
import { test } from "node:test";
import { runProgram } from "./run-program.ts";

const timeoutMs = 10_000;

test("runProgram gives back what a program printed and how it ended", async () => {
  const fine = await runProgram("sh", ["-c", "echo out; echo err >&2"], { timeoutMs });
  assert.equal(fine.ok, true);
  assert.deepEqual(fine.output.split("\n").sort(), ["err", "out"]);
  const failed = await runProgram("sh", ["-c", "echo no; exit 3"], { timeoutMs });
  assert.deepEqual(failed, { ok: false, output: "no", state: "exited with 3" });
});

test("runProgram says that a program is not installed", async () => {
  const result = await runProgram("nex-no-such-program", [], { timeoutMs });
  assert.deepEqual(result, { ok: false, output: "", state: "is not installed" });
});

test("runProgram kills the program and its children when the time is up", async () => {
  const startedAt = performance.now();
  const result = await runProgram("sh", ["-c", "sleep 30 & sleep 30"], { timeoutMs: 100 });
  assert.deepEqual(result, { ok: false, output: "", state: "still ran after 0.1 s" });
  assert.ok(performance.now() - startedAt < 5000);
});

test("runProgram keeps the end of a long output only", async () => {
  const result = await runProgram("sh", ["-c", "seq 1 100000"], { timeoutMs });
  assert.ok(result.output.length <= 16 * 1024);
  assert.match(result.output, /\n100000$/);
});
