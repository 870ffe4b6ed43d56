import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { addSwitch, dropUnsetVariables, parseDuration, pastTime, positive } from "./option-values.ts";

test("parseDuration reads what Go writes, and refuses the rest", () => {
  assert.equal(parseDuration("750ms"), 750);
  assert.equal(parseDuration("1m30s"), 90_000);
  assert.equal(parseDuration("1.5h"), 5_400_000);
  for (const text of ["", "5", "s", "1d", "1s later", "-1s"]) assert.throws(() => parseDuration(text), text);
});

test("pastTime reads a time, or how long ago it was, and refuses the rest", () => {
  assert.equal(pastTime("2026-01-31T12:00:00Z").getTime(), Date.UTC(2026, 0, 31, 12));
  assert.equal(pastTime("2026-01-31T12:00:00+02:00").getTime(), Date.UTC(2026, 0, 31, 10));
  const agoMs = (text: string): number =>
    Math.round((Date.now() - pastTime(text).getTime()) / 60_000) * 60_000;
  assert.equal(agoMs("10m"), 600_000);
  assert.equal(agoMs("7d"), 604_800_000);
  assert.equal(agoMs("1d12h"), 129_600_000);
  assert.equal(pastTime("99999d").getTime(), 0);
  for (const text of ["", "d", "10", "-5m", "yesterday", "2020-13-40", "2020-01-01 later", "1e3m", "123456d"])
    assert.throws(() => pastTime(text), text);
});

test("positive refuses what is no whole number above 0", () => {
  assert.equal(positive("12"), 12);
  for (const text of ["0", "-1", "1.5", "", "x", "9007199254740993"])
    assert.throws(() => positive(text), text);
});

test("addSwitch leaves a switch undefined until one of its two forms is given", () => {
  const parse = (...args: string[]): unknown =>
    addSwitch(new Command(), "loud", "speak up").parse(args, { from: "user" }).opts()["loud"];
  assert.deepEqual([parse(), parse("--loud"), parse("--no-loud")], [undefined, true, false]);
});

test("dropUnsetVariables removes empty variables, and of switches those that say no", () => {
  const program = addSwitch(new Command(), "loud", "speak up", "LOUD");
  for (const value of ["", "0", "false", "FALSE", "no", "off"]) {
    const env = { LOUD: value, OTHER: "" };
    dropUnsetVariables(program, env);
    assert.deepEqual(env, { OTHER: "" });
  }
  const env = { LOUD: "true" };
  dropUnsetVariables(program, env);
  assert.deepEqual(env, { LOUD: "true" });
});
