import assert from "node:assert/strict";
import { test } from "node:test";
import { createProgram } from "../packages/cli/src/program.ts";
import { referencePages } from "./reference.ts";

test("the page of the command line has every command that does something, with commands below it or not", () => {
  const page = referencePages().get("docs/reference/command-line.md") ?? "";
  assert.match(page, /^## `nex rootfs`/m);
  assert.match(page, /^## `nex rootfs verify`$/m);
  assert.match(page, /^## `nex node up`$/m);
  assert.doesNotMatch(page, /^## `nex (?:node|keys)`$/m);
  for (const { commands } of [createProgram()]) {
    for (const command of commands) assert.match(page, new RegExp(`^## \`nex ${command.name()}\\b`, "m"));
  }
});
