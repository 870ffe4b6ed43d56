/** Bytes that bare sockets send to the HTTP listener: requests that servers read in different ways, slow ones, and too many. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { anyPort, ask, askUntil, deployRoutes, exchange, route } from "./support/http.ts";

/** Counts its calls, and returns count, path and body. */
const counting = `let calls = 0;
module.exports = (subject, payload, call) =>
  [++calls, call.trigger.path, call.trigger.host, new TextDecoder().decode(payload)].join(" ");`;

async function startCounting(more: object = {}): Promise<TestNexus> {
  const nexus = await startTestNexus({ config: { http: { ...anyPort, ...more } } });
  await deployRoutes(nexus.client, "f", counting, [route("/*"), route("h.example/only", { name: "only" })], {
    globals: "keep",
  });
  await askUntil(nexus.node, "/first", 200);
  return nexus;
}

const statuses = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

test("requests whose end or whose host is doubtful are refused, and nothing is called", async () => {
  await using nexus = await startCounting();
  const { node } = nexus;
  const refused: [text: string, status: number][] = [
    ["POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
    ["POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400],
    ["POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400],
    ["POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na", 400],
    ["POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na", 400],
    ["POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400],
    ["POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400],
    [
      "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
      501,
    ],
    ["POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400],
    ["GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", 400],
    ["GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\nConnection: close\r\n\r\n", 400],
    ["GET http://i/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400],
    ["GET http://h@i/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400],
    ["GET /a HTTP/1.1\r\nHost: h/x\r\nConnection: close\r\n\r\n", 400],
    ["GET /a HTTP/1.1\r\nHost: h\r\n folded\r\nConnection: close\r\n\r\n", 400],
    ["GET /a HTTP/1.1\r\nHost : h\r\nConnection: close\r\n\r\n", 400],
    ["GET /a HTTP/1.1\r\nHost: h\nConnection: close\r\n\r\n", 400],
    ["GET /a HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\nConnection: close\r\n\r\n", 400],
    ["GET /a HTTP/1.1\r\nHost: h\r\nX: a\x01b\r\nConnection: close\r\n\r\n", 400],
    ["GET a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400],
    ["OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400],
    ["GET /\xe9 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400],
    ["TRACE /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 405],
    ["GET /a HTTP/1.1\r\nHost: h\r\nExpect: other\r\nConnection: close\r\n\r\n", 417],
    ["GET /a HTTP/9.9\r\nHost: h\r\n\r\n", 400],
    ["swordfish\r\n\r\n", 400],
  ];
  for (const [text, status] of refused)
    assert.deepEqual(statuses(await exchange(node, text)), [status], JSON.stringify(text));
  assert.equal(await exchange(node, "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"), "");
  assert.match((await ask(node, "/last")).body, /^"2 /);
});

test("a body that looks like a request is a body", async () => {
  await using nexus = await startCounting();
  const inner = "GET /inner HTTP/1.1\r\nHost: h\r\n\r\n";
  const text = `POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: ${inner.length}\r\nConnection: close\r\n\r\n${inner}`;
  const answer = await exchange(nexus.node, text);
  assert.deepEqual(statuses(answer), [200]);
  assert.match(answer, /"2 \/outer h GET \/inner/);
});

test("an absolute URL counts as its path, where its host is the same", async () => {
  await using nexus = await startCounting();
  const answer = await exchange(
    nexus.node,
    "GET http://H.example:80/only?x HTTP/1.1\r\nHost: h.EXAMPLE:80\r\nConnection: close\r\n\r\n",
  );
  assert.match(answer, /"2 \/only h\.example /);
});

test("pipelined requests are answered in their order, and not without limit", async () => {
  await using nexus = await startCounting();
  const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: h\r\n${more}\r\n`;
  const two = await exchange(nexus.node, get("/a") + get("/b", "Connection: close\r\n"));
  assert.deepEqual(statuses(two), [200, 200]);
  assert.ok(two.indexOf(" /a ") < two.indexOf(" /b "));
  const many = await exchange(nexus.node, get("/x").repeat(40) + get("/y", "Connection: close\r\n"));
  const answered = statuses(many);
  assert.ok(answered.filter((status) => status === 200).length >= 16, answered.join());
  assert.ok(answered.includes(503), answered.join());
});

test("a client that asks before it sends a body hears first whether it may", async () => {
  await using nexus = await startCounting({ body_bytes_max: 10 });
  const head = (length: number) =>
    `POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`;
  const taken = await exchange(nexus.node, `${head(3)}abc`);
  assert.deepEqual(statuses(taken), [100, 200]);
  assert.deepEqual(statuses(await exchange(nexus.node, head(11))), [413]);
});

test("slow headers and slow bodies end the connection", async () => {
  await using nexus = await startCounting({ headers_timeout_ms: 200, request_timeout_ms: 400 });
  assert.deepEqual(statuses(await exchange(nexus.node, "GET /a HTTP/1.1\r\nHost: h\r\n")), [408]);
  const slow = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc";
  assert.deepEqual(statuses(await exchange(nexus.node, slow)), [408]);
  assert.match((await ask(nexus.node, "/last")).body, /^"2 /);
});

test("parameters that no header can hold are refused", async () => {
  await using nexus = await startTestNexus({ config: { http: anyPort } });
  const { node, client } = nexus;
  const source = "module.exports = (subject, payload, call) => call.trigger.params.id";
  await deployRoutes(client, "f", source, [route("/:id")]);
  assert.equal((await askUntil(node, "/a", 200)).body, '"a"');
  for (const path of ["/a%0d%0aNex-Http-User:%20U", "/%00", "/%20a", "/a%09"])
    assert.equal((await ask(node, path)).status, 400, path);
  assert.equal((await ask(node, "/a%20b")).body, '"a b"');
});

test("connections beyond the maximum are closed", async () => {
  await using nexus = await startTestNexus({
    config: { http: { ...anyPort, max_connections: 2, request_timeout_ms: 2_000 } },
  });
  const { node } = nexus;
  const open = "GET /held HTTP/1.1\r\nHost: h\r\n";
  const held = [exchange(node, open), exchange(node, open)];
  // They may not have arrived yet, so a third one is tried until it is closed without a word.
  const one = "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  while ((await exchange(node, one)) !== "");
  for (const answer of await Promise.all(held)) assert.deepEqual(statuses(answer), [408]);
  while ((await exchange(node, one)) === "");
});
