import assert from "node:assert/strict";
import { test } from "node:test";
import { LogLevel } from "./provider.ts";
import { UnheardLines } from "./unheard-lines.ts";

test("UnheardLines keeps lines in their order, and gives each once", () => {
  const unheard = new UnheardLines();
  unheard.add(LogLevel.info, "one");
  unheard.add(LogLevel.error, "two");
  assert.deepEqual(unheard.take(), [
    { level: LogLevel.info, text: "one" },
    { level: LogLevel.error, text: "two" },
  ]);
  assert.deepEqual(unheard.take(), []);
});

test("UnheardLines keeps 64 KiB, counts what is lost after that, and keeps again once it was emptied", () => {
  const unheard = new UnheardLines();
  for (let at = 0; at < 70; at++) unheard.add(LogLevel.info, "x".repeat(960));
  unheard.add(LogLevel.info, "short");
  const lines = unheard.take();
  assert.equal(lines.length, 65);
  assert.deepEqual(lines.at(-1), {
    level: LogLevel.warn,
    text: "7 further lines were written while there was no node, and are lost",
  });
  unheard.add(LogLevel.info, "again");
  assert.deepEqual(unheard.take(), [{ level: LogLevel.info, text: "again" }]);
  for (let at = 0; at < 2_000; at++) unheard.add(LogLevel.info, "");
  assert.equal(unheard.take().length, 1_025);
});
