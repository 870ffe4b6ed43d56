import assert from "node:assert/strict";
import { test } from "node:test";
import type { NexError } from "../errors.ts";
import { canonicalJson, parseStrictJson } from "./canonical-json.ts";

const canonical = (text: string): string => canonicalJson(parseStrictJson(text));

test("canonicalJson sorts members by UTF-16 code units and writes numbers like ECMAScript", () => {
  // From RFC 8785, 3.2.3 and 3.2.2.
  assert.equal(
    canonical(
      '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","1":"One","\\ud83d\\ude00":"Emoji","\\u0080":"Control","ö":"o"}',
    ),
    '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"o","€":"Euro Sign","😀":"Emoji"}',
  );
  assert.equal(
    canonical("[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001, -0, 1e21]"),
    "[333333333.3333333,1e+30,4.5,0.002,1e-27,0,1e+21]",
  );
  assert.equal(
    canonical(' { "b" : [ true , false , null , { } , [ ] ] , "a" : "\\/\\u0041" } '),
    '{"a":"/A","b":[true,false,null,{},[]]}',
  );
  assert.equal(canonical('{"__proto__":{"x":1}}'), '{"__proto__":{"x":1}}');
});

for (const [what, text] of [
  ["a duplicate name", '{"a":1,"a":2}'],
  ["names that differ only in case", '{"name":1,"Name":2}'],
  ["names that are equal after unescaping", '{"a":1,"\\u0061":2}'],
  ["a lone surrogate", '{"a":"\\ud83d"}'],
  ["a lone surrogate in a name", '{"\\ude00":1}'],
  ["an infinite number", "1e999"],
  ["a leading zero", "[01]"],
  ["a bare control character", '"\n"'],
  ["an unknown escape", '"\\x41"'],
  ["trailing text", "{} {}"],
  ["a truncated text", '{"a":[1,2'],
  ["a trailing comma", "[1,]"],
  ["nothing", ""],
  ["a value nested too deeply", "[".repeat(100) + "]".repeat(100)],
] as const) {
  test(`parseStrictJson refuses ${what}`, () => {
    assert.throws(
      () => parseStrictJson(text),
      (error: NexError) => error.code === "request_not_canonical",
    );
  });
}

test("parseStrictJson agrees with JSON.parse, also for megabytes", () => {
  const value = { text: 'x\\"'.repeat(300_000), list: Array.from({ length: 1_000 }, (_, at) => ({ at })) };
  assert.deepEqual(JSON.parse(canonical(JSON.stringify(value))), value);
});
