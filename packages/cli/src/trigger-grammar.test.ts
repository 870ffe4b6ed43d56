import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTrigger } from "./trigger-grammar.ts";

const cases: [text: string, trigger: object][] = [
  ["subject a.*", { type: "subject", subject: "a.*" }],
  ["subject a when-full=refuse name=x", { type: "subject", subject: "a", when_full: "refuse", name: "x" }],
  ["stream ORDERS", { type: "stream", stream: "ORDERS" }],
  [
    "stream ORDERS orders.new orders.paid from=all attempts=8 dead=orders.dead backoff=1s,1m ack-wait=2s confirm=yes",
    {
      ...{ type: "stream", stream: "ORDERS", filters: ["orders.new", "orders.paid"], from: "all" },
      ...{ attempts: 8, dead: "orders.dead", backoff_ms: [1_000, 60_000], ack_wait_ms: 2_000, confirm: true },
    },
  ],
  [
    "stream ORDERS from=seq:17 order=strict",
    { type: "stream", stream: "ORDERS", from: { seq: 17 }, order: "strict" },
  ],
  [
    "stream ORDERS from=2026-01-02T03:04:05Z",
    { type: "stream", stream: "ORDERS", from: { time: "2026-01-02T03:04:05Z" } },
  ],
  ["kv CONFIG users.* from=current", { type: "kv", bucket: "CONFIG", keys: ["users.*"], from: "current" }],
  ["kv CONFIG deletes=no", { type: "kv", bucket: "CONFIG", deletes: false }],
  ["object UPLOADS", { type: "object", bucket: "UPLOADS" }],
  [
    "cron 0 9 * * mon-fri zone=Europe/Berlin",
    { type: "cron", schedule: "0 9 * * mon-fri", zone: "Europe/Berlin" },
  ],
  ["cron @daily payload=go missed=none", { type: "cron", schedule: "@daily", payload: "go", missed: "none" }],
  ["every 5m overlap=allow", { type: "cron", schedule: "every 5m", overlap: "allow" }],
  ["http /orders/:id", { type: "http", route: "/orders/:id", auth: "none" }],
  [
    "http GET,POST shop.example/a time=2s body=1KiB cors=https://a.example,https://b.example auth=A1,A2",
    {
      ...{ type: "http", methods: ["GET", "POST"], route: "shop.example/a", time_ms: 2_000 },
      ...{ body_bytes_max: 1_024, cors: ["https://a.example", "https://b.example"] },
      auth: { accounts: ["A1", "A2"] },
    },
  ],
];

test("parseTrigger reads each kind with its options", () => {
  for (const [text, trigger] of cases) assert.deepEqual(parseTrigger(text), trigger, text);
});

const bad: [text: string, message: RegExp, advice: RegExp][] = [
  ["", /begins with none of the kinds/, /stream NAME \[FILTER…\]; kv BUCKET/],
  ["strem ORDERS", /"strem ORDERS"/, /^Its forms are/],
  ["constructor x", /none of the kinds/, /^Its forms/],
  ["stream", /its words do not fit/, /^Its form is: stream NAME/],
  ["object A B", /its words do not fit/, /^Its form is: object BUCKET/],
  ["http GET /a b", /its words do not fit/, /^Its form is: http/],
  ["stream A attempts=many", /attempts/, /attempts=N/],
  ["stream A attempts=-1", /attempts/, /attempts=N/],
  ["stream A ack-wait=soon", /ack-wait=soon: A duration looks like/, /ack-wait=DURATION/],
  ["stream A from=yesterday", /from/, /from=new\|all\|seq:N\|TIME/],
  ["kv A deletes=maybe", /deletes/, /deletes=yes\|no/],
  ["stream a.b", /stream: /, /stream NAME/],
];

test("parseTrigger shows the form of what it can't read", () => {
  for (const [text, message, advice] of bad) {
    assert.throws(
      () => parseTrigger(text),
      (error: Error & { code?: string; advice?: string }) => {
        assert.equal(error.code, "usage", text);
        assert.match(error.message, message, text);
        assert.match(error.advice ?? "", advice, text);
        return true;
      },
    );
  }
});

test("parseTrigger takes a word with an unknown name for what it is, not for an option", () => {
  assert.deepEqual(parseTrigger("stream A wat=1"), { type: "stream", stream: "A", filters: ["wat=1"] });
});
