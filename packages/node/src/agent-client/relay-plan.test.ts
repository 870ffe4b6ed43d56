import assert from "node:assert/strict";
import { test } from "node:test";
import { planRelay, type RelayPlan } from "./relay-plan.ts";

/** Which server, as `host port`, is found at a place of the machine. */
function at(plan: RelayPlan, name: string, port: number): string | undefined {
  const address = plan.hosts.find((entry) => entry.name === name)?.address ?? name;
  const place = plan.listen.find((one) => one.address === address && one.port === port);
  const target = plan.targets[place?.target ?? -1];
  return target && `${target.host} ${target.port}`;
}

test("planRelay has nothing for no server", () => {
  assert.deepEqual(planRelay([]), { targets: [], listen: [], hosts: [], loopbackAddresses: [] });
});

test("planRelay finds server k at 127.0.0.k with its own port", () => {
  const plan = planRelay(["nats://a.example:4222", "nats://b.example:4333", "nats://[2001:db8::1]:4444"]);
  assert.equal(at(plan, "127.0.0.1", 4222), "a.example 4222");
  assert.equal(at(plan, "127.0.0.2", 4333), "b.example 4333");
  assert.equal(at(plan, "127.0.0.3", 4444), "2001:db8::1 4444");
  assert.equal(at(plan, "127.0.0.1", 4333), undefined);
});

for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "0.0.0.0"]) {
  test(`planRelay needs no name and no further address for ${host}`, () => {
    const plan = planRelay([`nats://${host}:4222`]);
    assert.deepEqual(plan, {
      targets: [{ host: host.toLowerCase(), port: 4222 }],
      listen: [{ address: "127.0.0.1", port: 4222, target: 0 }],
      hosts: [],
      loopbackAddresses: [],
    });
  });
}

test("planRelay finds a server by its name", () => {
  const plan = planRelay(["nats://NATS.Example.com:4222"]);
  assert.deepEqual(plan.hosts, [{ name: "nats.example.com", address: "127.0.0.1" }]);
  assert.equal(at(plan, "nats.example.com", 4222), "nats.example.com 4222");
});

test("planRelay takes the dot off the end of a name that the machine knows, and leaves it where it is dialled", () => {
  const plan = planRelay(["nats://nats.example.com.:4222"]);
  assert.equal(at(plan, "nats.example.com", 4222), "nats.example.com. 4222");
  assert.deepEqual(plan.hosts, [{ name: "nats.example.com", address: "127.0.0.1" }]);
});

test("planRelay finds all ports of a name at one address", () => {
  const plan = planRelay(["nats://x:1", "nats://a:1", "nats://a:2", "nats://a.:3", "nats://a:1"]);
  assert.deepEqual(
    plan.hosts.map(({ name }) => name),
    ["x", "a"],
  );
  assert.deepEqual(
    [1, 2, 3].map((port) => at(plan, "a", port)),
    ["a 1", "a 2", "a. 3"],
  );
  assert.equal(at(plan, "127.0.0.5", 1), "a 1");
});

test("planRelay finds a server by its address, which the machine's loopback device is to answer to", () => {
  const plan = planRelay(["nats://192.0.2.7:4222", "nats://[2001:db8::1]:4222", "nats://192.0.2.7:4223"]);
  assert.deepEqual(plan.loopbackAddresses, ["192.0.2.7", "2001:db8::1"]);
  assert.equal(at(plan, "192.0.2.7", 4222), "192.0.2.7 4222");
  assert.equal(at(plan, "192.0.2.7", 4223), "192.0.2.7 4223");
  assert.equal(at(plan, "2001:db8::1", 4222), "2001:db8::1 4222");
  assert.deepEqual(plan.hosts, []);
});

test("planRelay finds IPv6's own addresses without any device for them", () => {
  for (const url of ["nats://[::1]:4222", "nats://[::]:4222"]) {
    const plan = planRelay([url]);
    assert.ok(
      plan.listen.some(({ address }) => address === "::1"),
      url,
    );
    assert.deepEqual([plan.hosts, plan.loopbackAddresses], [[], []]);
  }
});

test("planRelay reads an IPv4 address in the clothes of IPv6, and a short one, as nats.js does", () => {
  assert.deepEqual(planRelay(["nats://[::ffff:192.0.2.7]:4222"]).loopbackAddresses, ["192.0.2.7"]);
  assert.deepEqual(planRelay(["nats://127.1:4222"]).targets, [{ host: "127.0.0.1", port: 4222 }]);
});

test("planRelay lets an address lead to the server that has it, and a name to its own, though both want one place", () => {
  const plan = planRelay(["nats://far.example:4222", "nats://127.0.0.1:4222", "nats://127.0.0.2:4222"]);
  assert.equal(at(plan, "127.0.0.1", 4222), "127.0.0.1 4222");
  assert.equal(at(plan, "127.0.0.2", 4222), "127.0.0.2 4222");
  assert.equal(at(plan, "far.example", 4222), "far.example 4222");
});

test("planRelay listens at no place twice", () => {
  const plan = planRelay([
    "nats://127.0.0.1:1",
    "nats://localhost:1",
    "nats://127.0.0.2:1",
    "nats://a:1",
    "nats://a:1",
  ]);
  const places = plan.listen.map(({ address, port }) => `${address} ${port}`);
  assert.equal(new Set(places).size, places.length);
});

for (const [url, host, port] of [
  ["nats.example", "nats.example", 4222],
  ["nats.example:5222", "nats.example", 5222],
  ["nats://nats.example", "nats.example", 4222],
  ["tls://nats.example:443", "nats.example", 443],
  ["nats://nats.example:80", "nats.example", 80],
  ["ws://nats.example", "nats.example", 80],
  ["wss://nats.example/path", "nats.example", 443],
  ["wss://nats.example:8443", "nats.example", 8443],
  ["nats://user:p%40ss@nats.example:4222", "nats.example", 4222],
  ["nats://token@192.0.2.1", "192.0.2.1", 4222],
] as const) {
  test(`planRelay reads ${url}`, () => {
    assert.deepEqual(planRelay([url]).targets, [{ host, port }]);
  });
}

test("planRelay keeps what stands before an @ to itself", () => {
  assert.ok(!JSON.stringify(planRelay(["nats://user:swordfish@nats.example:4222"])).includes("swordfish"));
});

test("planRelay passes by what is no server, and leaves no gap", () => {
  const plan = planRelay([
    "",
    "nats://",
    "nats://a b:1",
    "nats://:4222",
    "nats://a:99999",
    "nats://good:4222",
  ]);
  assert.deepEqual(plan.targets, [{ host: "good", port: 4222 }]);
  assert.equal(at(plan, "127.0.0.1", 4222), "good 4222");
});

test("planRelay plans for the first 64 servers", () => {
  const plan = planRelay(Array.from({ length: 70 }, (_, index) => `nats://192.0.2.${index}:4222`));
  assert.equal(plan.targets.length, 64);
  assert.equal(plan.loopbackAddresses.length, 64);
  assert.equal(at(plan, "127.0.0.64", 4222), "192.0.2.63 4222");
});
