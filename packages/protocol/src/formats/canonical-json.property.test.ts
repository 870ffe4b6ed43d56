import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalJson, parseStrictJson } from "./canonical-json.ts";

/** An object keeps its members in a list, so that a test can write them in any order. */
type Model = null | boolean | number | string | Model[] | { members: [name: string, value: Model][] };

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const { model } = fc.letrec<{ model: Model }>((tie) => ({
  model: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    text,
    fc.array(tie("model"), { maxLength: 5 }),
    fc.record({
      members: fc.uniqueArray(fc.tuple(text, tie("model")), {
        maxLength: 5,
        selector: ([name]) => name.toLowerCase(),
      }),
    }),
  ),
}));

function write(value: Model, space: string, turned: boolean): string {
  if (Array.isArray(value)) return `[${space}${value.map((item) => write(item, space, turned)).join(",")}]`;
  if (typeof value !== "object" || value === null) return `${space}${JSON.stringify(value)}${space}`;
  const members = value.members.map(
    ([name, member]) => `${space}${JSON.stringify(name)}${space}:${write(member, space, turned)}`,
  );
  return `{${(turned ? members.reverse() : members).join(",")}${space}}`;
}

const canonical = (json: string): string => canonicalJson(parseStrictJson(json));

test("canonicalJson is the same for every order of members and any white space", () => {
  fc.assert(
    fc.property(model, fc.constantFrom(" ", "\n", "\t \r\n"), (value, space) => {
      assert.equal(canonical(write(value, space, true)), canonical(write(value, "", false)));
    }),
  );
});

test("canonicalJson keeps every value, and changes nothing when it is applied again", () => {
  fc.assert(
    fc.property(model, (value) => {
      const json = write(value, "", false);
      const once = canonical(json);
      assert.deepEqual(JSON.parse(once), JSON.parse(json));
      assert.equal(canonical(once), once);
    }),
  );
});

test("parseStrictJson refuses what JSON.parse refuses, and only with its code", () => {
  const near = fc
    .tuple(model, fc.nat(), fc.constantFrom("", ",", "}", '"', "\\", "0", "\u0000"))
    .map(([value, at, put]) => {
      const json = write(value, "", false);
      const place = at % (json.length + 1);
      return json.slice(0, place) + put + json.slice(place + 1);
    });
  fc.assert(
    fc.property(near, (json) => {
      let isJson = true;
      try {
        JSON.parse(json);
      } catch {
        isJson = false;
      }
      try {
        parseStrictJson(json);
      } catch (error) {
        assert.equal((error as { code: string }).code, "request_not_canonical");
        return;
      }
      assert.ok(isJson, json);
    }),
  );
});
