import assert from "node:assert/strict";
import { test } from "node:test";
import { parseImports } from "./imports.ts";
import { scan } from "./scan.ts";

const parse = (text: string) =>
  parseImports(scan(text)).map(
    ({ specifier, typeOnly, names }) => `${typeOnly ? "type " : ""}${names.join("+")} ${specifier}`,
  );

test("parseImports reads every form of import and export-from", () => {
  const text = `#!/usr/bin/env node
import a from "a";
import { b, c as d } from 'b';
import * as e from "c";
import f, { g } from "d";
import "e";
export { h } from "f";
export * from "g";
export * as i from "h";
import {
  j,
  k,
} from "i";
import data from "./data.json" with { type: "json" };`;
  assert.deepEqual(parse(text), [
    "default a",
    "b+c b",
    "* c",
    "default+g d",
    " e",
    "h f",
    "* g",
    "* h",
    "j+k i",
    "default ./data.json",
  ]);
});

test("parseImports tells what is gone at run time", () => {
  const text = `import type { A } from "a";
import { type B, type C } from "b";
import { type D, e } from "c";
export type { F } from "d";
type G = typeof import("e");
import type H from "f";
import type, { i } from "g";`;
  assert.deepEqual(parse(text), [
    "type  a",
    "type  b",
    "e c",
    "type  d",
    "type  e",
    "type  f",
    "default+i g",
  ]);
});

test("parseImports reads import() with a fixed name", () => {
  assert.deepEqual(parse('const a = await import("a"); const b = import(name);'), ["* a"]);
});

test("parseImports passes over comments, strings, and code that looks alike", () => {
  const text = `// import a from "a";
/* import b from "b"; */
const c = 'import d from "d"';
export const from = "e";
export function f() { return g.from("h"); }
const i = import.meta.url;
export type J = "k";`;
  assert.deepEqual(parse(text), []);
});
