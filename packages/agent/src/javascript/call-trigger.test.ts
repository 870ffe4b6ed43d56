import assert from "node:assert/strict";
import { test } from "node:test";
import type { Deploy } from "@nexengine/protocol/agent";
import { TestAgent } from "../testing/test-agent.ts";

const ack = "$JS.ACK.ORDERS.nex_a_b.3.4711.12.1767225600123456789.5";
const delivered = { sequence: 4711, delivery: 3, timeMs: 1_767_225_600_123, pending: 5 };
const triggers: NonNullable<Deploy["triggers"]> = [
  { type: "subject", name: "one", subject: "a.*" },
  { type: "subject", name: "two", subject: "a.b" },
  { type: "stream", name: "orders", stream: "ORDERS" },
  { type: "kv", name: "config", bucket: "CONFIG" },
  { type: "object", name: "uploads", bucket: "UPLOADS" },
  { type: "cron", name: "daily", schedule: "0 9 * * *", zone: "Europe/Berlin" },
  { type: "http", name: "web", route: "/orders/:id" },
];
const place = (name: string): number => triggers.findIndex((trigger) => trigger.name === name) + 1;
const block = (headers: Record<string, string>): string =>
  `NATS/1.0\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;

interface Sent {
  subject?: string;
  payload?: string;
  headers?: Record<string, string>;
  delivery?: string;
}

/** Deploys a function, and gives a way to call it by a trigger. */
async function withTriggers(
  source: string,
  run: (call: (name: string | undefined, sent?: Sent) => Promise<unknown>) => Promise<void>,
  options: Partial<Deploy> = { triggers },
): Promise<void> {
  await using agent = await TestAgent.start();
  const { accepted, message } = await agent.deploy(source, options);
  assert.ok(accepted, message);
  await run(async (name, { subject = "s", payload = "", headers, delivery = ack } = {}) => {
    const trigger = name === undefined ? undefined : { place: place(name), delivery };
    const answer = await agent.send(subject, payload, headers === undefined ? "" : block(headers), trigger)
      .answer;
    return "reply" in answer ? JSON.parse(answer.reply.toString()) : answer.failure;
  });
}

const show = "module.exports = (subject, payload, call) => call.trigger";
/** The last token but one is there for later forms: `$JS.ACK.<domain>.<account hash>.…`, with a random token at the end. */
const domainAck = "$JS.ACK.hub.ACCHASH.ORDERS.nex_a_b.3.4711.12.1767225600123456789.5.random";

test("call.trigger of a stream has the place of the message and how often it came", async () => {
  await withTriggers(show, async (call) => {
    const expected = { type: "stream", name: "orders", stream: "ORDERS", ...delivered };
    assert.deepEqual(await call("orders"), expected);
    assert.deepEqual(await call("orders", { delivery: domainAck }), expected);
    assert.deepEqual(await call("orders", { delivery: domainAck.replace(/\.random$/, "") }), expected);
    for (const delivery of ["", "$JS.ACK.a.b.1.2.3.4", "$JS.ACK.a.b.1.2.3.4.5.6", "_INBOX.a.b.1.2.3.4.5.6"])
      assert.deepEqual(await call("orders", { delivery }), {
        type: "stream",
        name: "orders",
        stream: "ORDERS",
      });
  });
});

test("call.trigger of a bucket has the key, the revision, and what was done to the key", async () => {
  await withTriggers(show, async (call) => {
    const expected = {
      type: "kv",
      name: "config",
      bucket: "CONFIG",
      key: "users.7",
      revision: 4711,
      ...delivered,
    };
    const subject = "$KV.CONFIG.users.7";
    assert.deepEqual(await call("config", { subject }), { ...expected, operation: "put" });
    for (const [operation, headers] of [
      ["delete", { "KV-Operation": "DEL" }],
      ["purge", { "KV-Operation": "PURGE", "Nats-Rollup": "sub" }],
      ["expired", { "Nats-Marker-Reason": "MaxAge" }],
      ["put", { Other: "DEL" }],
    ] as const)
      assert.deepEqual(await call("config", { subject, headers }), { ...expected, operation });
  });
});

test("call.trigger of an object store describes the object, and the payload stays as it is", async () => {
  const source = `module.exports = (subject, payload, call) => {
    const text = new TextDecoder().decode(payload);
    payload.fill(0);
    return { trigger: call.trigger, text, frozen: Object.isFrozen(call.trigger.object) };
  }`;
  await withTriggers(source, async (call) => {
    const expected = { type: "object", name: "uploads", bucket: "UPLOADS", ...delivered };
    const object = { name: "a b", nuid: "N1", digest: "SHA-256=x", size: 12 };
    const payload = JSON.stringify({ ...object, chunks: 1, bucket: "other", options: {} });
    assert.deepEqual(await call("uploads", { payload }), {
      ...{ trigger: { ...expected, operation: "put", object }, text: payload, frozen: true },
    });
    const gone = JSON.stringify({ name: "a b", nuid: "N1", deleted: true });
    const { trigger } = (await call("uploads", { payload: gone })) as { trigger: unknown };
    assert.deepEqual(trigger, { ...expected, operation: "delete", object: { name: "a b", nuid: "N1" } });
    for (const payload of ["no JSON", "null", "7", '{"name":7,"size":"x"}']) {
      const { trigger } = (await call("uploads", { payload })) as { trigger: unknown };
      assert.deepEqual(trigger, { ...expected, operation: "put", object: {} });
    }
  });
});

test("call.trigger of a schedule has the planned time", async () => {
  await withTriggers(show, async (call) => {
    const expected = {
      type: "cron",
      name: "daily",
      schedule: "0 9 * * *",
      zone: "Europe/Berlin",
      ...delivered,
    };
    assert.deepEqual(await call("daily"), expected);
    const delivery = `${ack} 1767225600000`;
    assert.deepEqual(await call("daily", { delivery }), { ...expected, plannedMs: 1_767_225_600_000 });
  });
});

test("call.trigger of a route has the request, and parameters without inherited names", async () => {
  const source = `module.exports = (subject, payload, call) =>
    ({ ...call.trigger, inherited: call.trigger.params.toString === undefined })`;
  await withTriggers(source, async (call) => {
    const headers = {
      ...{ "Nex-Http-Method": "GET", "Nex-Http-Path": "/orders/7", "Nex-Http-Query": "a=1&b=2" },
      ...{ "Nex-Http-Host": "shop.example", "Nex-Http-Scheme": "https", "Nex-Http-Client": "10.0.0.1" },
      ...{ "nex-http-param-id": "7", Other: "x" },
    };
    assert.deepEqual(await call("web", { headers, delivery: "" }), {
      ...{ type: "http", name: "web", method: "GET", path: "/orders/7", query: "a=1&b=2" },
      ...{ host: "shop.example", scheme: "https", client: "10.0.0.1", route: "/orders/:id" },
      ...{ params: { id: "7" }, inherited: true },
    });
  });
});

test("call.trigger of a subject has a name where one trigger alone takes the subject", async () => {
  await withTriggers(show, async (call) => {
    assert.deepEqual(await call(undefined, { subject: "a.c" }), {
      type: "subject",
      name: "one",
      subject: "a.c",
    });
    assert.deepEqual(await call(undefined, { subject: "a.b" }), { type: "subject", subject: "a.b" });
    assert.deepEqual(await call(undefined, { subject: "other" }), { type: "subject", subject: "other" });
  });
  // A node from before typed triggers gives no table.
  await withTriggers(
    show,
    async (call) => assert.deepEqual(await call(undefined), { type: "subject", subject: "s" }),
    {},
  );
});

test("call.trigger can't be changed, is made once, and belongs to the realm", async () => {
  const source = `(subject, payload, call) => {
    "use strict";
    const { trigger } = call;
    let refused = false;
    try { trigger.type = "other"; } catch { refused = true; }
    return {
      refused,
      same: trigger === call.trigger,
      frozen: Object.isFrozen(trigger),
      own: trigger instanceof Object && Object.getPrototypeOf(trigger) === Object.prototype,
    };
  }`;
  for (const globals of ["fresh", "keep"] as const) {
    await withTriggers(
      source,
      async (call) => {
        for (const name of ["orders", undefined])
          assert.deepEqual(await call(name), { refused: true, same: true, frozen: true, own: true });
      },
      { triggers, globals },
    );
  }
});

test("call.trigger does not run what the function has put on built-ins", async () => {
  const source = `
    JSON.parse = () => { throw new Error("mine"); };
    Object.freeze = JSON.parse;
    Object.defineProperty(Object.prototype, "params", { set: JSON.parse, get: JSON.parse, configurable: true });
    module.exports = (subject, payload, call) => { const { type } = call.trigger; return type; }`;
  await withTriggers(source, async (call) => assert.equal(await call("orders"), "stream"), {
    triggers,
    globals: "keep",
  });
});

test("a thrown error says whether and when the call may be tried again", async () => {
  const source = `module.exports = async (subject, payload) => {
    const wish = new Function("return " + new TextDecoder().decode(payload))();
    throw wish;
  }`;
  await using agent = await TestAgent.start();
  await agent.deploy(source, { globals: "keep" });
  for (const [wish, expected] of [
    ["Object.assign(new Error('x'), { retry: false })", { retry: false }],
    ["Object.assign(new Error('x'), { retryAfterMs: 1500.4 })", { retryAfterMs: 1500 }],
    ["Object.assign(new Error('x'), { retryAfterMs: 0 })", { retryAfterMs: 0 }],
    ["Object.assign(new Error('x'), { retryAfterMs: 86400000 })", { retryAfterMs: 86_400_000 }],
    ["Object.assign(new Error('x'), { retry: false, retryAfterMs: 5 })", { retry: false }],
    ...[
      ["new Error('x')"],
      ["Object.assign(new Error('x'), { retry: true })"],
      ["Object.assign(new Error('x'), { retry: 0 })"],
      ["Object.assign(new Error('x'), { retryAfterMs: -1 })"],
      ["Object.assign(new Error('x'), { retryAfterMs: 86400001 })"],
      ["Object.assign(new Error('x'), { retryAfterMs: NaN })"],
      ["Object.assign(new Error('x'), { retryAfterMs: Infinity })"],
      ["Object.assign(new Error('x'), { retryAfterMs: '5' })"],
      ["Object.assign(new Error('x'), { get retry() { throw 1 } })"],
      ["Object.assign(new Error('x'), { retryAfterMs: { valueOf: () => 5 } })"],
    ].map(([wish]) => [wish, {}] as const),
    [
      "new Proxy(new Error('x'), { get: (of, name) => { if (name === 'retry') throw 1; return of[name] } })",
      {},
    ],
  ] as const) {
    const answer = await agent.send("s", wish).answer;
    assert.ok("failure" in answer);
    const { code, text: _, ...said } = answer.failure;
    assert.deepEqual([code, said], [500, expected], wish);
  }
  for (const wish of ["undefined", "null", "'text'", "7"])
    assert.deepEqual(Object.keys((await agent.call(wish)) as object).sort(), ["code", "text"], wish);
});
