import assert from "node:assert/strict";
import { test } from "node:test";
import { formatRunTime, formatUptime } from "./uptime.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const year = 365 * day;

test("formatUptime prints whole seconds and all smaller units", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [999, "0s"],
    [7 * second, "7s"],
    [minute - 1, "59s"],
    [minute, "1m0s"],
    [2 * hour + 5 * second, "2h0m5s"],
    [day - 1, "23h59m59s"],
    [3 * day + second, "3d0h0m1s"],
    [year - 1, "364d23h59m59s"],
    [year, "1y0d0h0m0s"],
    [year + 2 * day + 3 * hour + 4 * minute + 5 * second + 999, "1y2d3h4m5s"],
  ];
  for (const [elapsedMs, text] of cases) assert.equal(formatUptime(elapsedMs), text);
});

test("formatUptime counts a negative duration as 0", () => {
  assert.equal(formatUptime(-5 * second), "0s");
});

test("formatRunTime prints nanoseconds, whole milliseconds, then the uptime format", () => {
  const cases: [number, string][] = [
    [0, "0ns"],
    [999, "999ns"],
    [999.9, "999ns"],
    [1000, "0ms"],
    [900_000, "0ms"],
    [2_900_000, "2ms"],
    [999_999_999, "999ms"],
    [1_000_000_000, "1s"],
    [61_500_000_000, "1m1s"],
  ];
  for (const [runNs, text] of cases) assert.equal(formatRunTime(runNs), text);
});
