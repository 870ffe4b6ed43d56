import assert from "node:assert/strict";
import { test } from "node:test";
import { goUrlOf, locationSchema, objectLocation, parseObjectLocation } from "./go-url.ts";

const empty = {
  Scheme: "",
  Opaque: "",
  User: null,
  Host: "",
  Path: "",
  RawPath: "",
  OmitHost: false,
  ForceQuery: false,
  RawQuery: "",
  Fragment: "",
  RawFragment: "",
};

test("goUrlOf parses a URL like Go", () => {
  const cases: [string, object][] = [
    ["nats://B/a/b%20c?x=1#f", { Scheme: "nats", Host: "B", Path: "/a/b c", RawQuery: "x=1", Fragment: "f" }],
    ["nats://u:p@B:1/k", { Scheme: "nats", Host: "B:1", Path: "/k", User: {} }],
    ["file:///tmp/x", { Scheme: "file", Path: "/tmp/x" }],
    ["nats://B", { Scheme: "nats", Host: "B" }],
    ["NATS://Bucket/k?", { Scheme: "nats", Host: "Bucket", Path: "/k", ForceQuery: true }],
    ["k", { Path: "k" }],
    ["", {}],
  ];
  for (const [text, expected] of cases) assert.deepEqual(goUrlOf(text), { ...empty, ...expected }, text);
});

test("goUrlOf refuses a bad escape without quoting the rest, which may hold a password", () => {
  const cases = [
    ["nats://u:hunter2@B/a%zz", 'Cannot read the location: bad percent escape "%zz"'],
    ["nats://hunter2@B/k#%", 'Cannot read the location: bad percent escape "%"'],
    ["nats://B/hunter2%ff", "Cannot read the location: bad percent escape"],
  ] as const;
  for (const [text, message] of cases) {
    assert.throws(() => goUrlOf(text), { name: "NexError", code: "malformed_request", message });
    assert.throws(() => locationSchema.parse(text), { name: "NexError", code: "malformed_request", message });
  }
});

test("objectLocation returns the complete object that a Go node expects", () => {
  assert.deepEqual(objectLocation("NEXCLIFILES", "echo"), {
    ...empty,
    Scheme: "nats",
    Host: "NEXCLIFILES",
    Path: "/echo",
  });
});

test("locationSchema accepts a complete object, a partial one in other cases, and a string", () => {
  const found = { bucket: "B", key: "a/b c" };
  const forms: unknown[] = [
    objectLocation("B", "a/b c"),
    { Scheme: "nats", Host: "B", Path: "/a/b c" },
    { host: "B", PATH: "a/b c/", User: {}, Unknown: 5, RawQuery: null },
    "nats://B/a/b%20c",
    "http://B/a/b%20c",
  ];
  for (const form of forms) {
    assert.deepEqual(parseObjectLocation(locationSchema.parse(form)), found, JSON.stringify(form));
  }
});

test("locationSchema refuses other types and overlong parts", () => {
  const bad: unknown[] = [
    5,
    [],
    true,
    { Host: 5 },
    { Host: "B", Path: ["k"] },
    { Host: "x".repeat(4097) },
    "x".repeat(4097),
  ];
  for (const form of bad)
    assert.ok(!locationSchema.safeParse(form).success, JSON.stringify(form).slice(0, 40));
});

test("parseObjectLocation refuses a location without bucket or key", () => {
  for (const location of [{}, { Host: "B" }, { Path: "/k" }, { Host: "B", Path: "///" }]) {
    assert.throws(() => parseObjectLocation(location), { code: "field_missing" });
  }
});
