import assert from "node:assert/strict";
import { test } from "node:test";
import { RecentLines } from "./recent-lines.ts";

const line = (text: string) => ({ time_ms: 0, level: "INFO" as const, text });

test("RecentLines keeps the latest 200 lines, and no more than 32 Ki characters", () => {
  const many = new RecentLines();
  for (let at = 0; at < 500; at++) many.add(line(String(at)));
  assert.deepEqual([many.last(500).length, many.last(1)[0]?.text], [200, "499"]);
  const long = new RecentLines();
  for (let at = 0; at < 10; at++) long.add(line(String(at).repeat(10_000)));
  assert.deepEqual(
    long.last(10).map(({ text }) => text[0]),
    ["7", "8", "9"],
  );
});
