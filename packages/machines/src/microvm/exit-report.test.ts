import assert from "node:assert/strict";
import { test } from "node:test";
import { takeExitReport } from "./exit-report.ts";

const line = (status: number, count: number): string =>
  `[nex: the agent ended with ${status}, memory ran out ${count} times]\n`;

test("takeExitReport removes the last report from the console", () => {
  const text = `hello\n${line(1, 0)}more\n${line(137, 2)}[ 3.4] reboot: Power down\n`;
  assert.deepEqual(takeExitReport(text), {
    console: `hello\n${line(1, 0)}more\n[ 3.4] reboot: Power down\n`,
    report: { status: 137, outOfMemoryCount: 2 },
  });
});

test("takeExitReport does not change a console without a report", () => {
  for (const text of [
    "",
    "hello",
    "[nex: the agent ended with x, memory ran out 0 times]\n",
    line(1000, 0),
  ]) {
    assert.deepEqual(takeExitReport(text), { console: text });
  }
});
