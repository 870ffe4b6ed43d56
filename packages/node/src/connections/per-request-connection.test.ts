import assert from "node:assert/strict";
import { test } from "node:test";
import { planPerRequestConnection } from "./per-request-connection.ts";

const node = {
  servers: ["nats://user:hunter2@a.example", "tls://b.example:80"],
  user: "node",
  password: "hunter2",
  inboxPrefix: "_NODE",
  tls: { ca: "ca", cert: "hunter2", key: "hunter2", first: true },
};

test("planPerRequestConnection gives a request's connection the node's servers and authorities, and nothing by which it is the node", () => {
  const { login, others } = planPerRequestConnection(
    "trigger_connection",
    { nats_url: "tls://B.example:80, a.example", nats_user_jwt: "j", nats_user_seed: "s" },
    node,
    "node-servers",
  );
  assert.deepEqual(login, {
    ...{ userJwt: "j", nkeySeed: "s", name: "nex-trigger_connection" },
    ...{ servers: ["tls://b.example:80", "nats://a.example"], tls: { ca: "ca", first: true } },
  });
  assert.deepEqual(others, []);
});

test("planPerRequestConnection takes the node's servers where none is named, and a login that stands in a URL", () => {
  const plan = (nats_url: string, seed?: string) =>
    planPerRequestConnection("host_services", { nats_url, nats_user_seed: seed }, node, "node-servers").login;
  assert.deepEqual(plan("", "s").servers, ["nats://a.example", "tls://b.example:80"]);
  const { user, password, servers } = plan("nats://me:p@a.example:4222");
  assert.deepEqual([user, password, servers], ["me", "p", ["nats://a.example"]]);
});

test("planPerRequestConnection refuses what is no server of the node's, and where any may be named what is no NATS server", () => {
  const plan = (nats_url: string, policy: "node-servers" | "any") => () =>
    planPerRequestConnection("host_services", { nats_url }, node, policy);
  for (const url of [
    "a.example:4223",
    "nats://c.example",
    "a.example,c.example",
    "a.example.",
    "nats://a.example@c.example",
  ]) {
    assert.throws(plan(url, "node-servers"), { code: "connection_not_allowed" }, url);
  }
  for (const url of [
    "ws://a.example",
    "wss://a.example",
    "http://a.example",
    "nats://",
    Array(17).fill("a").join(),
  ]) {
    assert.throws(plan(url, "any"), { code: "connection_not_allowed" }, url);
  }
  assert.deepEqual(plan("tls://c.example:1", "any")().others, [
    { address: { host: "c.example", port: 1 }, tls: true },
  ]);
});
