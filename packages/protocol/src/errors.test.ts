import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ErrorCode,
  errorCatalogue,
  errorText,
  exitStatus,
  isErrorCode,
  NexError,
  toNexError,
} from "./errors.ts";

const codes = Object.keys(errorCatalogue) as ErrorCode[];

test("errorCatalogue: each code is snake case, and its description has no full stop", () => {
  for (const code of codes) {
    assert.match(code, /^[a-z]+(_[a-z]+)*$/);
    assert.match(errorCatalogue[code].when, /^[A-Z].*[^.]$/, code);
  }
});

test("errorCatalogue: each code has the exit status of a failure", () => {
  const failures = new Set<number>(Object.values(exitStatus));
  failures.delete(exitStatus.ok);
  for (const code of codes) assert.ok(failures.has(errorCatalogue[code].exit), code);
});

test("errorCatalogue: only a fault of the workload has the workload's exit status", () => {
  for (const code of codes) {
    const { fault, exit } = errorCatalogue[code];
    if (fault === "workload") assert.equal(exit, exitStatus.workload, code);
    if (exit === exitStatus.usage) assert.equal(fault, "user", code);
    if (exit === exitStatus.internal) assert.equal(fault, "system", code);
  }
});

test("errorCatalogue: all descriptions differ", () => {
  assert.equal(new Set(codes.map((code) => errorCatalogue[code].when)).size, codes.length);
});

test("isErrorCode accepts only the catalogue's codes, not inherited properties", () => {
  for (const code of codes) assert.ok(isErrorCode(code));
  for (const other of [
    "",
    "Timeout",
    "toString",
    "__proto__",
    "constructor",
    5,
    null,
    undefined,
    ["timeout"],
  ]) {
    assert.ok(!isErrorCode(other), String(other));
  }
});

test("NexError derives fault and exit status from its code, and keeps cause, ids and advice", () => {
  const cause = new TypeError("inner");
  const error = new NexError("no_node", "Cannot deploy", { cause, ids: { node: "N" }, advice: "Start one" });
  assert.ok(error instanceof Error);
  assert.deepEqual(
    {
      name: error.name,
      message: error.message,
      fault: error.fault,
      exit: error.exit,
      ids: error.ids,
      advice: error.advice,
    },
    {
      name: "NexError",
      message: "Cannot deploy",
      fault: "user",
      exit: 6,
      ids: { node: "N" },
      advice: "Start one",
    },
  );
  assert.equal(error.cause, cause);
});

test("NexError has no cause, ids or advice unless they are given", () => {
  const error = new NexError("internal", "x");
  assert.ok(!("cause" in error));
  assert.deepEqual(error.ids, {});
  assert.equal(error.advice, undefined);
});

test("toNexError returns a NexError as is, and wraps everything else", () => {
  const own = new NexError("timeout", "x");
  assert.equal(toNexError(own, "internal", "Cannot"), own);
  const inner = new Error("inner");
  const wrapped = toNexError(inner, "connection_failed", "Cannot connect");
  assert.equal(wrapped.message, "Cannot connect: inner");
  assert.equal(wrapped.code, "connection_failed");
  assert.equal(wrapped.cause, inner);
  assert.equal(toNexError("text").message, "text");
  assert.equal(toNexError("text").code, "internal");
});

test("errorText returns a text for anything thrown", () => {
  assert.equal(errorText(new Error("a")), "a");
  assert.equal(errorText(new TypeError("")), "TypeError");
  assert.equal(errorText("b"), "b");
  assert.equal(errorText(undefined), "undefined");
});
