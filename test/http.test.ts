/** HTTP triggers from a socket to a function and back: routes, headers, statuses, limits. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { test } from "node:test";
import { createKey, signerOfSeed } from "@nexengine/protocol";
import { encodeClaims } from "@nexengine/protocol/tokens";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { anyPort, ask, askUntil, deployRoutes, route } from "./support/http.ts";

/** Shows all that the function knows of a request. */
const show = `module.exports = (subject, payload, call) => {
  call.replyHeaders.set("Content-Type", "application/json");
  const headers = {};
  for (const [name, value] of call.headers) headers[name.toLowerCase()] = value;
  return { trigger: call.trigger, headers, body: new TextDecoder().decode(payload) };
}`;
const nowS = (): number => Math.floor(Date.now() / 1000);

const startNexus = (more: object = {}): Promise<TestNexus> =>
  startTestNexus({ config: { http: { ...anyPort, ...more } } });

test("a request reaches the function of its route, with all that is known of it", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  await deployRoutes(client, "shop", show, [
    route("/orders/:id", { methods: ["GET"] }),
    route("/orders/:id", { methods: ["POST"], name: "change" }),
    route("/files/*", { name: "files" }),
  ]);
  const answer = await askUntil(node, "/orders/a%2Fb%20%C3%A9?x=1&y=%20", 200, {
    headers: { Host: "Shop.example:8080", "X-Own": "seen", Accept: "text/plain" },
  });
  const { trigger, headers, body } = JSON.parse(answer.body);
  assert.deepEqual(trigger, {
    ...{ type: "http", name: "http", method: "GET", path: "/orders/a%2Fb%20%C3%A9", query: "x=1&y=%20" },
    ...{ host: "shop.example", scheme: "http", client: "127.0.0.1", route: "/orders/:id" },
    params: { id: "a/b é" },
  });
  assert.equal(headers["x-own"], "seen");
  assert.equal(headers.accept, "text/plain");
  assert.equal(body, "");
  const changed = await ask(node, "/orders/7", { method: "POST", body: "new" });
  assert.equal(JSON.parse(changed.body).trigger.name, "change");
  assert.equal(JSON.parse(changed.body).body, "new");
  const file = JSON.parse((await ask(node, "/files/a/b%2Fc", { method: "PUT" })).body);
  assert.deepEqual(file.trigger.params, { "*": "a/b%2Fc" });
  assert.equal(file.trigger.name, "files");
});

test("routes, methods and paths that nobody takes are answered by the listener", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  await deployRoutes(client, "shop", show, [route("/orders", { methods: ["GET", "POST"] })]);
  await askUntil(node, "/orders", 200);
  const missing = await askUntil(node, "/other", 404);
  assert.match(missing.body, /^No route takes this request \(request [0-9a-z-]+\)\n$/);
  assert.equal(missing.headers["content-type"], "text/plain; charset=utf-8");
  const method = await ask(node, "/orders", { method: "DELETE" });
  assert.equal(method.status, 405);
  assert.equal(method.headers.allow, "GET, HEAD, POST");
  for (const path of ["/orders/../orders", "/%2e%2e/orders", "//orders", "/orders/%zz", "/orders?\u00e9"])
    assert.equal((await ask(node, path)).status, 400, path);
  const head = await ask(node, "/orders", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.body, "");
  assert.ok(Number(head.headers["content-length"]) > 0);
});

test("headers that steer NATS, or are ours, pass in neither direction", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  const source = `module.exports = (subject, payload, call) => {
    const names = [];
    for (const [name] of call.headers) names.push(name.toLowerCase());
    for (const [name, value] of [
      ["Nex-Http-Status", "201"], ["X-Reply", "yes"], ["Nats-Msg-Id", "1"], ["Nex-Own", "1"], ["Connection", "X-Hop"],
      ["X-Hop", "1"], ["Transfer-Encoding", "chunked"], ["Content-Length", "3"], ["Set-Cookie", "a=b"],
    ]) call.replyHeaders.set(name, value);
    return new TextEncoder().encode(names.sort().join());
  }`;
  await deployRoutes(client, "f", source, [route("/")]);
  const answer = await askUntil(node, "/", 201, {
    headers: {
      ...{ "Nats-Rollup": "all", "nats-ttl": "1s", "NEX-HTTP-USER": "U", "Nex-Http-Route": "/x", Kept: "1" },
      ...{ Connection: "X-Away, close", "X-Away": "1", TE: "trailers", "Keep-Alive": "1", Upgrade: "x" },
    },
  });
  assert.deepEqual(answer.body.split(","), [
    ...["kept", "nex-http-client", "nex-http-host", "nex-http-method", "nex-http-path", "nex-http-query"],
    ...["nex-http-request-id", "nex-http-route", "nex-http-scheme"],
  ]);
  const { headers } = answer;
  assert.equal(headers["x-reply"], "yes");
  assert.deepEqual(headers["set-cookie"], ["a=b"]);
  assert.equal(headers["content-type"], "application/octet-stream");
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.equal(headers["content-length"], String(Buffer.byteLength(answer.body)));
  for (const name of ["nats-msg-id", "nex-own", "x-hop", "nex-http-status", "transfer-encoding"])
    assert.equal(headers[name], undefined, name);
});

test("a value is JSON, unless the function names another type", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  const source = `module.exports = (subject, payload, call) => {
    if (call.trigger.params.kind === "named") call.replyHeaders.set("content-type", "application/problem+json");
    else call.replyHeaders.set("X-Kind", call.trigger.params.kind);
    return call.trigger.params.kind === "nothing" ? undefined : { ok: true };
  }`;
  await deployRoutes(client, "f", source, [route("/:kind")]);
  const json = await askUntil(node, "/plain", 200);
  assert.deepEqual([json.headers["content-type"], json.headers["x-kind"]], ["application/json", "plain"]);
  const named = await ask(node, "/named");
  assert.deepEqual([named.headers["content-type"], named.body], ["application/problem+json", '{"ok":true}']);
  assert.equal((await ask(node, "/nothing")).headers["content-type"], undefined);
});

test("errors of a function become statuses without its text", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  const source = `module.exports = async (subject, payload, call) => {
    const what = call.trigger.params["*"];
    if (what === "throw") throw new Error("swordfish");
    if (what === "hang") for (;;);
    if (what === "slow") await new Promise((resolve) => setTimeout(resolve, 60_000));
    if (what === "status") call.replyHeaders.set("Nex-Http-Status", "999");
    if (what === "none") { call.replyHeaders.set("Nex-Http-Status", "204"); return "dropped"; }
    return "well";
  }`;
  await deployRoutes(client, "f", source, [route("/*", { time_ms: 400 })], { limits: { callTimeMs: 100 } });
  assert.equal((await askUntil(node, "/well", 200)).body, '"well"');
  const threw = await ask(node, "/throw");
  assert.equal(threw.status, 500);
  assert.match(threw.body, /^The function failed \(request /);
  assert.equal(threw.headers["x-request-id"], /request ([^)]+)/.exec(threw.body)?.[1]);
  assert.equal((await ask(node, "/hang")).status, 504);
  assert.equal((await ask(node, "/slow")).status, 504);
  assert.equal((await ask(node, "/status")).status, 502);
  const none = await ask(node, "/none");
  assert.deepEqual([none.status, none.body, none.headers["content-length"]], [204, "", undefined]);
});

test("a call that takes longer than the route's time is answered by the listener", async () => {
  await using nexus = await startNexus();
  const source = "module.exports = () => new Promise((resolve) => setTimeout(resolve, 60_000, 'late'))";
  await deployRoutes(nexus.client, "f", source, [route("/", { time_ms: 50 })]);
  const answer = await askUntil(nexus.node, "/", 504);
  assert.match(answer.body, /did not answer in time/);
});

test("a body over the limit of the route, the listener or the NATS server is refused", async () => {
  await using nexus = await startNexus({ body_bytes_max: 2_000 });
  const { node, client } = nexus;
  const source = "module.exports = (subject, payload) => payload.length";
  await deployRoutes(client, "f", source, [route("/small", { body_bytes_max: 10 }), route("/large")]);
  await askUntil(node, "/small", 200, { method: "POST" });
  const post = (path: string, size: number, headers = {}) =>
    ask(node, path, { method: "POST", body: "x".repeat(size), headers });
  assert.equal((await post("/small", 10)).body, "10");
  assert.equal((await post("/small", 11)).status, 413);
  assert.equal((await post("/large", 2_000)).body, "2000");
  assert.equal((await post("/large", 2_001)).status, 413);
  // Without a length, the limit is met while the body is read.
  assert.equal((await post("/small", 11, { "Transfer-Encoding": "chunked" })).status, 413);
  assert.equal((await post("/large", 2_000, { "Transfer-Encoding": "chunked" })).body, "2000");
});

test("headers that are too large are refused", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  await deployRoutes(client, "f", "module.exports = () => 'well'", [route("/")]);
  await askUntil(node, "/", 200);
  assert.equal((await ask(node, "/", { headers: { A: "x".repeat(20_000) } })).status, 431);
  // This is below the limit of HTTP, but not of a call.
  assert.equal((await ask(node, "/", { headers: { A: "x".repeat(16_250) } })).status, 431);
  assert.equal((await ask(node, "/", { headers: { A: "x".repeat(10_000) } })).status, 200);
});

test("a route with accounts takes their users' bearer tokens, and keeps the token", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  const account = signerOfSeed(createKey("account").seed);
  const other = signerOfSeed(createKey("account").seed);
  const user = createKey("user").publicKey;
  const token = (
    more: { signer?: typeof account; data?: object; expires?: number | undefined } = {},
  ): string => {
    const { signer = account, data = {} } = more;
    const expires = "expires" in more ? more.expires : nowS() + 60;
    return encodeClaims(
      {
        subject: user,
        issuedAt: nowS(),
        ...(expires === undefined ? {} : { expires }),
        data: { type: "user", bearer_token: true, ...data },
      },
      signer,
    );
  };
  await deployRoutes(client, "f", show, [route("/", { auth: { accounts: [account.publicKey] } })]);
  const call = (authorization: string) => ask(node, "/", { headers: { Authorization: authorization } });
  const passed = await askUntil(node, "/", 200, { headers: { Authorization: `Bearer ${token()}` } });
  const { headers } = JSON.parse(passed.body);
  assert.equal(headers["nex-http-user"], user);
  assert.equal(headers.authorization, undefined);
  const none = await ask(node, "/");
  assert.equal(none.status, 401);
  assert.equal(none.headers["www-authenticate"], "Bearer");
  const [head, body, signature] = token().split(".");
  const refused = {
    "another account": token({ signer: other }),
    "signing key of a listed account": token({ signer: other, data: { issuer_account: account.publicKey } }),
    "no bearer token": token({ data: { bearer_token: false } }),
    "not of a user": token({ data: { type: "account" } }),
    "without end": token({ expires: undefined }),
    expired: token({ expires: nowS() - 1 }),
    "without signature": `${head}.${body}.`,
    "other content": `${head}.${body?.slice(0, -4)}AAAA.${signature}`,
    nothing: "",
  };
  for (const [what, text] of Object.entries(refused))
    assert.equal((await call(`Bearer ${text}`)).status, 401, what);
  assert.equal((await call(token())).status, 401);
  // A token is remembered until it expires, and no longer.
  const short = `Bearer ${token({ expires: nowS() + 2 })}`;
  assert.equal((await call(short)).status, 200);
  await askUntil(node, "/", 401, { headers: { Authorization: short } });
});

test("browsers of listed origins may call a route", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  const origin = "https://shop.example";
  const source = `module.exports = (subject, payload, call) => {
    call.replyHeaders.set("Access-Control-Allow-Origin", "*");
    return "well";
  }`;
  await deployRoutes(client, "f", source, [
    route("/with", { cors: [origin], methods: ["PUT"] }),
    route("/without"),
  ]);
  const preflight = (path: string, from: string, wanted = "PUT") =>
    ask(node, path, {
      method: "OPTIONS",
      headers: {
        ...{ Origin: from, "Access-Control-Request-Method": wanted },
        "Access-Control-Request-Headers": "authorization, x-own",
      },
    });
  await askUntil(node, "/with", 200, { method: "PUT" });
  const allowed = await preflight("/with", origin);
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers["access-control-allow-origin"], origin);
  assert.equal(allowed.headers["access-control-allow-methods"], "PUT");
  assert.equal(allowed.headers["access-control-allow-headers"], "authorization, x-own");
  assert.equal((await preflight("/with", "https://other.example")).status, 403);
  assert.equal((await preflight("/with", origin, "DELETE")).status, 405);
  // Without origins, the function answers OPTIONS itself.
  assert.equal((await preflight("/without", origin)).body, '"well"');
  const called = await ask(node, "/with", { method: "PUT", headers: { Origin: origin } });
  assert.equal(called.headers["access-control-allow-origin"], origin);
  assert.equal(called.headers.vary, "Origin");
  const stranger = await ask(node, "/with", { method: "PUT", headers: { Origin: "https://other.example" } });
  assert.deepEqual([stranger.status, stranger.headers["access-control-allow-origin"]], [200, undefined]);
});

test("a client that goes away leaves the call alone", async () => {
  await using nexus = await startNexus();
  const { node, client } = nexus;
  const source = `let ended = 0;
  module.exports = async (subject, payload, call) => {
    if (call.trigger.path === "/ended") return ended;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return ++ended;
  }`;
  await deployRoutes(client, "f", source, [route("/*")], { globals: "keep" });
  await askUntil(node, "/ended", 200);
  const sent = request(`http://${node.httpAddress}/slow`, { agent: false }).end();
  sent.on("error", () => undefined);
  await once(sent, "finish");
  setTimeout(() => sent.destroy(), 100);
  await eventually(async () => ((await ask(node, "/ended")).body === "1" ? true : undefined));
  assert.equal((await ask(node, "/slow")).body, "2");
});
