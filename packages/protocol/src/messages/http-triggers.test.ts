import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "../errors.ts";
import { createKey } from "../tokens/keys.ts";
import { checkTriggers, type TriggerRequest } from "./triggers.ts";

type Http = Extract<TriggerRequest, { type: "http" }>;
const http = (route: string, more: Partial<Http> = {}): Http => ({
  type: "http",
  route,
  auth: "none",
  ...more,
});

function refusal(triggers: TriggerRequest[]): string {
  try {
    checkTriggers(triggers);
    return "";
  } catch (error) {
    assert.ok(error instanceof NexError && error.code === "trigger_invalid", String(error));
    return error.message;
  }
}

test("checkTriggers accepts HTTP triggers with accounts, methods and origins", () => {
  const { publicKey } = createKey("account");
  const cors = ["https://shop.example", "http://localhost:3000"];
  const one = http("/a/:id", { methods: ["GET"], auth: { accounts: [publicKey] }, cors });
  assert.equal(refusal([one, http("/a/:id", { methods: ["POST"] }), http("h.example/a/:id")]), "");
});

test("checkTriggers refuses what an HTTP listener could not do", () => {
  assert.match(refusal([http("orders")]), /Cannot use the route "orders": it has no path/);
  assert.match(refusal([http("/a", { methods: ["TRACE"] })]), /TRACE can't be routed/);
  const user = createKey("user").publicKey;
  assert.match(refusal([http("/a", { auth: { accounts: [user] } })]), /is not the public key of an account/);
  for (const origin of [
    "*",
    "null",
    "shop.example",
    "https://shop.example/",
    "https://Shop.example",
    "https://a:443",
  ])
    assert.match(refusal([http("/a", { cors: [origin] })]), /is not an origin/, origin);
  assert.match(refusal([http("/a/:x"), http("/a/:y")]), /another trigger of the workload has the same route/);
  assert.match(
    refusal([http("/a", { methods: ["GET"] }), http("/a", { methods: ["POST", "GET"] })]),
    /has the same route/,
  );
});

test("checkTriggers refuses a schedule that nats-server would refuse", () => {
  assert.equal(refusal([{ type: "cron", schedule: "every 5m", zone: "Europe/Berlin" }]), "");
  assert.match(refusal([{ type: "cron", schedule: "0 0 * * 7" }]), /Sunday is 0/);
  assert.match(refusal([{ type: "cron", schedule: "@daily", zone: "+02:00" }]), /is not a name/);
});
