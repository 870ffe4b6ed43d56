import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { completeConfig } from "./config.ts";
import { openDoors, reportOpenDoors } from "./open-doors.ts";

const shut = {
  valid_issuers: [] as string[],
  require_bound_claims: true,
  lameduck_requires_operator: true,
  limits: { max: { network: "nats" } },
};

test("openDoors names each key that leaves a door open, and none that is shut", () => {
  const keysOf = (config: object, sandbox: "container" | "process" = "container"): string[] =>
    openDoors(completeConfig({ ...shut, ...config }), sandbox).map(({ key }) => key);
  const always = ["valid_issuers"];
  assert.deepEqual(keysOf({}), always);
  assert.deepEqual(keysOf({ no_sandbox: true }, "process"), ["no_sandbox", ...always]);
  assert.deepEqual(keysOf({}, "process"), ["sandbox", ...always]);
  assert.deepEqual(keysOf({ require_bound_claims: false }), [...always, "require_bound_claims"]);
  assert.deepEqual(keysOf({ lameduck_requires_operator: false }), [...always, "lameduck_requires_operator"]);
  assert.deepEqual(keysOf({ request_connections: "any" }), [...always, "request_connections"]);
  assert.deepEqual(keysOf({ publish_address: "0.0.0.0" }), [...always, "publish_address"]);
  assert.deepEqual(keysOf({ http: { listen: "[::]:8080" } }), [...always, "http.listen"]);
  assert.deepEqual(keysOf({ http: { listen: "127.0.0.1:8080" } }), always);
  const allowed = ["10.1.0.0/16", "intranet.example:80", "127.0.0.1:80", "8.8.8.8", "[fd00::1]:80"];
  assert.equal(keysOf({ http_allow: allowed }).filter((key) => key === "http_allow").length, 4);
  assert.deepEqual(keysOf({ limits: {} }), [...always, "limits.max.network"]);
});

test("openDoors tells a metadata address from a private network, in each namespace", () => {
  const max = {
    egress_allow: ["169.254.169.254:80", "10.0.0.0/8:5432", "198.51.100.1:443", "a.example:443"],
  };
  const config = completeConfig({
    ...shut,
    limits: { max },
    namespaces: { a: { limits: { max: { network: "none" } } } },
  });
  const texts = openDoors(config, "container")
    .filter(({ key }) => key.endsWith("egress_allow"))
    .map(({ text }) => text);
  assert.deepEqual(texts, [
    "a workload may reach 169.254.169.254:80, an address of a cloud's secrets",
    "a workload may reach 10.0.0.0/8:5432, which is of the inside",
  ]);
});

test("reportOpenDoors writes a line of the log for each", () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  reportOpenDoors(completeConfig({ ...shut, request_connections: "any" }), "container", log);
  const told = lines.map((line) => JSON.parse(line) as { key: string; msg: string; level: number });
  assert.deepEqual(
    told.map(({ key }) => key),
    ["valid_issuers", "request_connections"],
  );
  for (const { msg } of told) assert.match(msg, /^open door: /);
});
