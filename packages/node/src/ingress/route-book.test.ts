import assert from "node:assert/strict";
import { test } from "node:test";
import { splitPath } from "@nexengine/protocol/formats";
import type { AnnouncedRoute } from "@nexengine/protocol/messages";
import { pino } from "pino";
import { RouteBook, type RouteBookOptions } from "./route-book.ts";
import type { HeardRoutes } from "./route-feed.ts";

interface Said extends Partial<Pick<HeardRoutes, "namespace" | "workloadName" | "bytes">> {
  copy?: string;
  since?: number;
  id?: string;
  routes?: readonly (string | AnnouncedRoute)[];
}

function newBook(options: Partial<RouteBookOptions> = {}) {
  const lines: string[] = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  const book = new RouteBook({ hosts: {}, silentMs: 100, log, ...options });
  const say = (said: Said, nowMs = 0): void =>
    book.hear(
      {
        namespace: said.namespace ?? "a",
        workloadName: said.workloadName ?? "w",
        bytes: said.bytes ?? 100,
        announcement: {
          version: 1,
          copy: said.copy ?? "c",
          workload_id: said.id ?? "id",
          since: said.since ?? 1,
          routes: (said.routes ?? ["/"]).map((route) =>
            typeof route === "string" ? { route, auth: "none" as const } : route,
          ),
        },
      },
      nowMs,
    );
  const find = (path: string, host = "", method = "GET") => {
    const match = book.match(method, host, splitPath(path) ?? assert.fail(path));
    return match.kind === "found" ? match.entry : undefined;
  };
  const owner = (path: string, host = ""): string | undefined => {
    const entry = find(path, host);
    return entry && `${entry.namespace}/${entry.workloadName}`;
  };
  return { book, say, find, owner, lines };
}

test("RouteBook gives a route to whoever was deployed first, in whatever order it hears", () => {
  const says: Said[] = [
    { workloadName: "late", since: 3 },
    { workloadName: "early", since: 1 },
    { namespace: "b", workloadName: "same", since: 1, id: "z" },
    { workloadName: "middle", since: 2 },
  ];
  for (let turn = 0; turn < says.length; turn++) {
    const { say, owner, lines } = newBook();
    for (const said of [...says.slice(turn), ...says.slice(0, turn)]) say(said);
    assert.equal(owner("/"), "a/early");
    owner("/");
    assert.equal(lines.filter((line) => /was deployed first/.test(line)).length, 3);
  }
});

test("RouteBook takes the settings of the newest copy of a workload, and forgets each copy by itself", () => {
  const { say, find, book } = newBook();
  say({ copy: "old", since: 1, routes: [{ route: "/", auth: "none", time_ms: 1 }] }, 0);
  say({ copy: "new", since: 2, routes: [{ route: "/", auth: "none", time_ms: 2 }] }, 60);
  assert.equal(find("/")?.settings.time_ms, 2);
  say({ copy: "new", routes: [] });
  assert.equal(find("/")?.settings.time_ms, 1);
  say({ copy: "new", since: 2, routes: [{ route: "/", auth: "none", time_ms: 2 }] }, 60);
  book.sweep(100);
  assert.equal(book.size, 2);
  book.sweep(101);
  assert.equal(book.size, 1);
  assert.equal(find("/")?.settings.time_ms, 2);
  // Said again, it stays.
  say({ copy: "new", since: 2, routes: [{ route: "/", auth: "none", time_ms: 2 }] }, 160);
  book.sweep(161);
  assert.equal(find("/")?.settings.time_ms, 2);
  book.sweep(261);
  assert.equal(find("/"), undefined);
});

test("RouteBook holds a namespace to its share, so that the others have room", () => {
  const { say, owner, book, lines } = newBook();
  for (let copy = 0; copy < 2_000; copy++) say({ namespace: "greedy", copy: String(copy), routes: ["/g"] });
  assert.equal(book.size, 1_024);
  say({ namespace: "heavy", workloadName: "h", bytes: 5 * 1_048_576, routes: ["/h"] });
  assert.equal(owner("/h"), undefined);
  say({ namespace: "modest", routes: ["/m"] });
  assert.equal(owner("/m"), "modest/w");
  assert.deepEqual(
    lines.filter((line) => /routes are ignored/.test(line)),
    [
      "routes are ignored: a namespace has 1024 copies at most",
      "routes are ignored: a namespace has 4194304 bytes of routes at most",
    ],
  );
  for (let namespace = 0; namespace < 10; namespace++) {
    for (let copy = 0; copy < 1_024; copy++) say({ namespace: `n${namespace}`, copy: String(copy) });
  }
  assert.equal(book.size, 8_192);
});

test("RouteBook ignores a bad route and keeps the good ones", () => {
  const { say, owner, lines } = newBook();
  say({ routes: ["no path", "/good", { route: "/bad", auth: { accounts: ["x"] } }] });
  assert.equal(owner("/good"), "a/w");
  assert.equal(owner("/bad"), undefined);
  assert.equal(lines.length, 1);
});

test("RouteBook keeps hosts to their namespaces", () => {
  const { say, owner } = newBook({ hosts: { "h.example": ["a"], "*": ["a", "b"] } });
  say({ namespace: "a", routes: ["/any", "h.example/own"] });
  say({ namespace: "b", routes: ["/b", "h.example/stolen", "free.example/b"] });
  say({ namespace: "c", routes: ["/c", "free.example/c"] });
  assert.equal(owner("/own", "h.example"), "a/w");
  assert.equal(owner("/any", "h.example"), undefined);
  assert.equal(owner("/stolen", "h.example"), undefined);
  assert.equal(owner("/b", "free.example"), "b/w");
  assert.equal(owner("/c", "free.example"), undefined);
  assert.equal(owner("/c"), undefined);
});
