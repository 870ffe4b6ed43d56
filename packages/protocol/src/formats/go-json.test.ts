import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { NexError } from "../errors.ts";
import { checkJson, goObject, goString, parseJson, requestBytesMax } from "./go-json.ts";

const schema = goObject({
  name: goString.optional(),
  count: z.number().optional(),
  inner: goObject({ Deep: goString.optional() }).optional(),
  list: z.array(goString).optional(),
});
const what = "Unable to deserialize deploy request";
const parse = (text: string | Uint8Array): unknown => parseJson(Buffer.from(text), schema, what);

function refusal(text: string | Uint8Array): NexError {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof NexError);
    return error;
  }
  assert.fail("nothing was thrown");
}

test("parseJson matches names case-insensitively at every level", () => {
  assert.deepEqual(parse('{"NAME":"a","CoUnT":2,"Inner":{"deep":"b"}}'), {
    name: "a",
    count: 2,
    inner: { Deep: "b" },
  });
});

test("parseJson reads null as the zero value and drops unknown members", () => {
  assert.deepEqual(
    parse('{"name":null,"inner":null,"list":null,"other":{"x":1},"__proto__":{"name":"p"}}'),
    {},
  );
  assert.deepEqual(parse("null"), {});
});

test("parseJson uses the last of several equal names, and ignores null", () => {
  assert.deepEqual(parse('{"name":"a","Name":"b","NAME":null}'), { name: "b" });
});

test("parseJson refuses values other than objects and members of another type, and names them", () => {
  for (const text of ["[]", "1", '"x"', "true"]) assert.equal(refusal(text).code, "malformed_request", text);
  assert.match(refusal('{"name":5}').message, /^Unable to deserialize deploy request: name: /);
  assert.match(refusal('{"inner":{"deep":[]}}').message, /: inner\.Deep: /);
  assert.match(refusal('{"list":["a",5]}').message, /: list\.1: /);
});

test("parseJson refuses an empty body in Go's words", () => {
  assert.equal(refusal("").message, "Unable to deserialize deploy request: unexpected end of JSON input");
});

test("parseJson refuses malformed JSON without quoting it", () => {
  const secret = "SAhunter2";
  for (const text of [`{"seed":"${secret}"`, secret, `{"a":"${secret}",}`, "{{{"]) {
    const error = refusal(text);
    assert.equal(error.code, "malformed_request");
    assert.equal(error.message, "Unable to deserialize deploy request: the body is not JSON");
    assert.ok(!String(error.cause ?? "").includes(secret));
  }
});

test("parseJson refuses bytes that are not UTF-8", () => {
  assert.match(refusal(Buffer.from('{"name":"\xff"}', "latin1")).message, /the body is not JSON$/);
});

test("parseJson accepts 32 levels of nesting and refuses deeper bodies", () => {
  const nested = (levels: number): string => `${'{"x":'.repeat(levels - 1)}{}${"}".repeat(levels - 1)}`;
  assert.deepEqual(parse(nested(32)), {});
  assert.match(refusal(nested(33)).message, /nested deeper than 32$/);
  assert.match(refusal(`${"[".repeat(100_000)}${"]".repeat(100_000)}`).message, /nested deeper than 32$/);
});

test("parseJson refuses a body of more than 8,192 values before parsing it", () => {
  const values = (count: number): string => `{"x":[${Array(count).fill("[]").join(",")}]}`;
  assert.deepEqual(parse(values(4_000)), {});
  const error = refusal(values(5_000));
  assert.equal(error.code, "request_too_large");
  assert.match(error.message, /the body has more than 8192 values$/);
});

test("parseJson does not count characters in strings", () => {
  assert.deepEqual(parse(`{"x":${JSON.stringify(`[{"\\,`.repeat(20_000))}}`), {});
  assert.match(refusal(`{"x":"[[[`).message, /the body is not JSON$/);
});

test("parseJson accepts a body of the maximum size and refuses one byte more", () => {
  const body = (bytes: number): string => `{"name":"${"x".repeat(bytes - 11)}"}`;
  assert.equal(body(100).length, 100);
  parse(body(requestBytesMax));
  const error = refusal(body(requestBytesMax + 1));
  assert.equal(error.code, "request_too_large");
  assert.match(error.message, /body has 262145 bytes, at most 262144 are read$/);
});

test("parseJson distinguishes an overlong member from one of another type", () => {
  const short = goObject({ text: z.string().max(3).optional() });
  assert.throws(() => parseJson(Buffer.from('{"text":"abcd"}'), short, what), { code: "request_too_large" });
  assert.throws(() => parseJson(Buffer.from('{"text":1}'), short, what), { code: "malformed_request" });
});

test("checkJson reads null as an empty object and keeps a schema's own code", () => {
  assert.deepEqual(checkJson(null, schema, what), {});
  const strict = z.custom(() => false, { params: { code: "feature_missing" } });
  assert.throws(() => checkJson({}, strict, what), { code: "feature_missing" });
});
