import assert from "node:assert/strict";
import { test } from "node:test";
import { candidates } from "./completion.ts";
import { candidateLine } from "./completion-scripts.ts";
import { createProgram } from "./program.ts";

const words = (...typed: string[]): string[] => candidates(createProgram(), typed).map(({ word }) => word);

test("candidates are the commands at the start, also of an alias", () => {
  assert.ok(words("").includes("devrun"));
  assert.deepEqual(words("dev"), ["devrun"]);
  assert.deepEqual(words("nodes", "pro"), ["probe"]);
});

test("candidates are options once a dash is typed, those of every command too", () => {
  assert.deepEqual(words("logs", "--since"), ["--since-start", "--since"]);
  assert.ok(words("logs", "--").includes("--server"));
  assert.deepEqual(words("node", "--since"), []);
});

test("candidates pass over the value of an option, whatever it looks like", () => {
  assert.deepEqual(words("-s", "node", "node", "inf"), ["info"]);
  assert.deepEqual(words("--loglevel", "d"), ["debug"]);
  assert.deepEqual(words("--tlsfirst", "node", "inf"), ["info"]);
  assert.deepEqual(words("--server", ""), []);
});

test("candidates are an argument's choices in its place only", () => {
  assert.deepEqual(words("completion", ""), ["bash", "zsh", "fish"]);
  assert.deepEqual(words("completion", "bash", ""), []);
});

test("candidateLine writes what each shell reads", () => {
  assert.equal(candidateLine("bash", "ls", "list"), "ls");
  assert.equal(candidateLine("zsh", "a:b", "list"), "a\\:b:list");
  assert.equal(candidateLine("fish", "ls", "list"), "ls\tlist");
  assert.equal(candidateLine("fish", "ls", ""), "ls");
});
