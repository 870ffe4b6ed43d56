import assert from "node:assert/strict";
import { test } from "node:test";
import { createKey } from "@nexengine/protocol/tokens";
import { nodeNameOf, parseMemory } from "./info.ts";

test("B22 parseMemory reads what is there, whatever else a line is", () => {
  const text =
    "MemTotal:       24684084 kB\nMemFree:\t10822892 kB\nMemAvailable:   22323564 kB\nSwap: 1 kB\n";
  const memory = { total: 24_684_084, free: 10_822_892, available: 22_323_564 };
  assert.deepEqual(parseMemory(text), memory);
  assert.deepEqual(parseMemory(`\nx\n:\n${text.replaceAll("\n", "\na\n")}`), memory);
  for (const odd of ["", "\n", "x", "MemTotal", "MemTotal:", "MemTotal:\nMemFree: kB\nMemAvailable: -1 kB"]) {
    assert.deepEqual(parseMemory(odd), { total: 0, free: 0, available: 0 }, odd);
  }
});

test("nodeNameOf gives a node one name for good, and hundreds of nodes a name each", () => {
  const ids = Array.from({ length: 500 }, () => createKey("node").publicKey);
  const names = ids.map(nodeNameOf);
  assert.deepEqual(ids.map(nodeNameOf), names);
  assert.equal(new Set(names).size, ids.length);
  for (const name of names) assert.match(name, /^[a-z]+-[a-z]+-[a-z2-7]{4}$/);
});
