import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NexError } from "../errors.ts";
import { parseRoute, type RouteOfMethods, routesCollide, splitPath } from "./route.ts";
import { RouteTable } from "./route-table.ts";

const entry = (text: string, methods?: string[]): RouteOfMethods => ({ route: parseRoute(text), methods });

/** @returns the route that is found, with its parameters; the allowed methods; or nothing. */
function match(table: RouteTable<RouteOfMethods>, method: string, host: string, path: string): unknown {
  const split = splitPath(path);
  if (split === undefined) return "bad path";
  const found = table.match(method, host, split);
  if (found.kind === "found") return [found.entry.route.text, Object.fromEntries(found.params)];
  return found.kind === "method" ? found.allow : "none";
}

test("parseRoute reads host, exact segments, parameters and the rest", () => {
  const { host, segments } = parseRoute("Shop.Example/caf%C3%A9/:id/*");
  assert.equal(host, "shop.example");
  assert.deepEqual(segments, [
    { kind: "exact", text: "café" },
    { kind: "param", name: "id" },
    { kind: "rest" },
  ]);
  assert.deepEqual(parseRoute("/").segments, []);
  assert.deepEqual(parseRoute("/a/").segments.at(-1), { kind: "exact", text: "" });
});

test("parseRoute refuses what is no route, and says why", () => {
  const refusals: [text: string, why: RegExp][] = [
    ["orders", /no path/],
    ["", /beyond printable ASCII/],
    ["/a b", /beyond printable ASCII/],
    ["/ä", /beyond printable ASCII/],
    ["/a?x=1", /no query/],
    ["/a#x", /no query/],
    ["/a//b", /a segment is empty/],
    ["//", /a segment is empty/],
    ["/a/../b", /a segment is empty, "\." or "\.\."/],
    ["/a/%2e%2E/b", /a segment is empty, "\." or "\.\."/],
    ["/./a", /a segment is empty/],
    ["/a/%zz", /not percent-encoded/],
    ["/a/%ff", /not percent-encoded/],
    ["/*/a", /is the last segment/],
    ["/a*", /has a \*, which stands alone/],
    ["/:", /is not : and a name/],
    ["/:1a", /is not : and a name/],
    ["/:a/:A", /two parameters/],
    ["shop.example:80/a", /not a host name/],
    ["-a.example/a", /not a host name/],
    ["*.example/a", /not a host name/],
    ["[::1]/a", /not a host name/],
    [`/${"a/".repeat(64)}b`, /more than 64 segments/],
  ];
  for (const [text, why] of refusals) {
    assert.throws(
      () => parseRoute(text),
      (error) => error instanceof NexError && error.code === "trigger_invalid" && why.test(error.message),
      text,
    );
  }
});

test("the most specific route wins", () => {
  const table = new RouteTable(
    ["/*", "/orders/*", "/orders/:id", "/orders/new", "/:a/new", "shop.example/*", "/orders/:id/lines"].map(
      (text) => entry(text),
    ),
  );
  const expected: [host: string, path: string, result: unknown][] = [
    ["x", "/orders/new", ["/orders/new", {}]],
    ["x", "/orders/7", ["/orders/:id", { id: "7" }]],
    ["x", "/orders/7/lines", ["/orders/:id/lines", { id: "7" }]],
    ["x", "/orders/7/other/a%2Fb", ["/orders/*", { "*": "7/other/a%2Fb" }]],
    ["x", "/people/new", ["/:a/new", { a: "people" }]],
    ["x", "/people", ["/*", { "*": "people" }]],
    ["x", "/orders/", ["/orders/*", { "*": "" }]],
    ["x", "/", "none"],
    ["shop.example", "/orders/new", ["shop.example/*", { "*": "orders/new" }]],
    ["x", "/orders/a%2Fb", ["/orders/:id", { id: "a/b" }]],
    ["x", "/%6Frders/new", ["/orders/new", {}]],
  ];
  for (const [host, path, result] of expected)
    assert.deepEqual(match(table, "GET", host, path), result, `${host}${path}`);
});

test("a route without the method gives way, and the allowed methods are told when none takes it", () => {
  const table = new RouteTable([
    entry("/a", ["POST"]),
    entry("/:x", ["GET"]),
    entry("/a", ["PUT"]),
    entry("/b"),
    entry("/c", ["GET"]),
    entry("/c", ["HEAD"]),
  ]);
  assert.deepEqual(match(table, "GET", "h", "/a"), ["/:x", { x: "a" }]);
  assert.deepEqual(match(table, "HEAD", "h", "/a"), ["/:x", { x: "a" }]);
  assert.deepEqual(match(table, "DELETE", "h", "/a"), ["GET", "HEAD", "POST", "PUT"]);
  assert.deepEqual(match(table, "DELETE", "h", "/b"), ["/b", {}]);
  assert.deepEqual(match(table, "DELETE", "h", "/b/c"), "none");
});

test("splitPath refuses paths that servers read in different ways", () => {
  const bad = [
    "",
    "a",
    "//",
    "/a//b",
    "/a/./b",
    "/a/..",
    "/%2e%2e/a",
    "/%",
    "/%ff",
    "/a b",
    "/ä",
    "/a\\\n",
    "*",
  ];
  for (const path of bad) assert.equal(splitPath(path), undefined, path);
  assert.deepEqual(splitPath("/a%2Fb/"), { segments: ["a/b", ""], raw: ["a%2Fb", ""] });
  assert.deepEqual(splitPath("/..."), { segments: ["..."], raw: ["..."] });
});

test("routesCollide knows the same route by another name", () => {
  const collides = (one: RouteOfMethods, other: RouteOfMethods): boolean => {
    const result = routesCollide(one, other);
    assert.equal(routesCollide(other, one), result);
    return result;
  };
  assert.ok(collides(entry("/a/:x"), entry("/a/:y")));
  assert.ok(collides(entry("H.example/a"), entry("h.EXAMPLE/%61")));
  assert.ok(collides(entry("/a", ["GET"]), entry("/a")));
  assert.ok(collides(entry("/a", ["GET", "POST"]), entry("/a", ["POST"])));
  assert.ok(!collides(entry("/a", ["GET"]), entry("/a", ["POST"])));
  assert.ok(!collides(entry("/a"), entry("h.example/a")));
  assert.ok(!collides(entry("/a/:x"), entry("/a/*")));
  assert.ok(!collides(entry("/a%2Fb"), entry("/a/b")));
  assert.ok(!collides(entry("/:x"), entry("/%3A")));
  assert.ok(!collides(entry("/*"), entry("/%2A")));
});

const segment = fc.oneof(
  fc.constantFrom("a", "b", "c", "%61", ":x", ":y", "A"),
  fc.string({ unit: fc.constantFrom(..."ab.%2eF:*~"), minLength: 1, maxLength: 4 }),
);
const routeText = fc
  .tuple(fc.constantFrom("", "h.example", "i.example"), fc.array(segment, { maxLength: 4 }), fc.boolean())
  .map(([host, parts, isOpen]) => `${host}/${[...parts, ...(isOpen ? ["*"] : [])].join("/")}`);

function routesOf(texts: readonly string[]): RouteOfMethods[] {
  return texts.flatMap((text) => {
    try {
      return entry(text);
    } catch (error) {
      assert.ok(error instanceof NexError && error.code === "trigger_invalid", String(error));
      return [];
    }
  });
}

/** Whether one route matches a path, written without the table. */
function matches({ route }: RouteOfMethods, host: string, path: readonly string[]): boolean {
  const { segments } = route;
  if (route.host !== undefined && route.host !== host) return false;
  const isOpen = segments.at(-1)?.kind === "rest";
  if (isOpen ? path.length < segments.length : path.length !== segments.length) return false;
  return segments.every((one, at) => {
    if (one.kind === "exact") return one.text === path[at];
    return one.kind === "rest" || path[at] !== "";
  });
}

/** Lower is more specific, from the left. */
function rank({ route }: RouteOfMethods): string {
  const kinds = { exact: "0", param: "1", rest: "2" };
  return (route.host === undefined ? "1" : "0") + route.segments.map(({ kind }) => kinds[kind]).join("");
}

test("the table finds what a search through all routes finds", () => {
  fc.assert(
    fc.property(
      fc.array(routeText, { maxLength: 12 }),
      fc.constantFrom("h.example", "other"),
      fc.array(fc.constantFrom("a", "b", "c", "A", ":x"), { maxLength: 5 }),
      (texts, host, parts) => {
        const routes = routesOf(texts);
        const path = splitPath(`/${parts.join("/")}`);
        assert.ok(path !== undefined);
        const found = new RouteTable(routes).match("GET", host, path);
        const expected = routes
          .filter((one) => matches(one, host, path.segments))
          .sort((one, other) => (rank(one) < rank(other) ? -1 : rank(one) > rank(other) ? 1 : 0))[0];
        assert.equal(found.kind === "found" ? found.entry.route.key : undefined, expected?.route.key);
      },
    ),
    { numRuns: 3_000 },
  );
});

test("splitPath gives decoded segments without dots or gaps, whatever it gets", () => {
  const path = fc.string({ unit: fc.constantFrom(..."/a.%2eEfF0? ä\n"), maxLength: 24 });
  fc.assert(
    fc.property(path, (text) => {
      const split = splitPath(`/${text}`);
      for (const [at, one] of split?.segments.entries() ?? []) {
        assert.ok(one !== "." && one !== "..");
        assert.ok(one !== "" || at === (split?.segments.length ?? 0) - 1);
      }
    }),
    { numRuns: 3_000 },
  );
});
