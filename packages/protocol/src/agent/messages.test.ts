import assert from "node:assert/strict";
import { test } from "node:test";
import { deployedSchema, exitedSchema, helloSchema } from "./messages.ts";

const hello = { protocol: 1, instance: "a1", lastEpoch: 0, providers: ["native", "v8"] };

test("helloSchema reads a hello, and refuses one that is too long or malformed (W7)", () => {
  assert.deepEqual(helloSchema.parse(hello), hello);
  const bad: object[] = [
    { ...hello, protocol: "1" },
    { ...hello, instance: "x".repeat(65) },
    { ...hello, lastEpoch: -1 },
    { ...hello, lastEpoch: 0.5 },
    { ...hello, providers: Array.from({ length: 17 }, () => "v8") },
    { ...hello, providers: ["x".repeat(17)] },
    {},
  ];
  for (const value of bad)
    assert.ok(!helloSchema.safeParse(value).success, JSON.stringify(value).slice(0, 80));
});

test("deployedSchema reads an answer, and refuses one that is too long or malformed", () => {
  for (const good of [
    { accepted: true },
    { accepted: false, message: "no" },
    { accepted: true, concurrency: 1024 },
  ]) {
    assert.deepEqual(deployedSchema.parse(good), good);
  }
  for (const bad of [
    {},
    { accepted: 1 },
    { accepted: true, message: "x".repeat(4097) },
    { accepted: true, concurrency: 0 },
    { accepted: true, concurrency: 1025 },
  ]) {
    assert.ok(!deployedSchema.safeParse(bad).success, JSON.stringify(bad).slice(0, 80));
  }
});

test("exitedSchema reads an exit, and refuses an impossible exit status", () => {
  for (const good of [{}, { code: 0 }, { code: -1, message: "m" }, { code: 255 }, { signal: "SIGKILL" }]) {
    assert.deepEqual(exitedSchema.parse(good), good);
  }
  for (const bad of [
    { code: 256 },
    { code: -2 },
    { code: 1.5 },
    { signal: "x".repeat(17) },
    { message: "x".repeat(1025) },
  ]) {
    assert.ok(!exitedSchema.safeParse(bad).success, JSON.stringify(bad).slice(0, 80));
  }
});
