import assert from "node:assert/strict";
import { test } from "node:test";
import { planRelay } from "../agent-client/relay-plan.ts";
import { plainTemplate, templateOf } from "./machine-template.ts";
import type { GrantedLimits } from "./spec.ts";

const limits = { memoryBytes: 2 ** 28 };
const plan = planRelay(["nats://nats.example:4222", "nats://192.0.2.7:4222"]);

function granted(more: Partial<GrantedLimits>): GrantedLimits {
  return {
    machine: limits,
    network: "nats",
    egressAllow: [],
    publish: [],
    logBytesPerSecond: undefined,
    callTimeMs: undefined,
    ...more,
  };
}

test("plainTemplate has the limits, and how the node's servers are found", () => {
  assert.deepEqual(plainTemplate(limits, plan), {
    limits,
    network: "nats",
    hosts: [{ name: "nats.example", address: "127.0.0.1" }],
    loopbackAddresses: ["192.0.2.7"],
  });
  assert.deepEqual(plainTemplate({}, planRelay([])), { limits: {}, network: "nats" });
});

test("templateOf is that of the machines that wait, whatever the network, but for egress", async () => {
  for (const network of ["none", "nats"] as const) {
    assert.equal(
      JSON.stringify(await templateOf(granted({ network }), plan)),
      JSON.stringify(plainTemplate(limits, plan)),
    );
  }
});

test("templateOf lists what a machine with egress may reach, beside the node's servers", async () => {
  const template = await templateOf(granted({ network: "egress", egressAllow: ["192.0.2.9:443"] }), plan);
  assert.deepEqual(template, {
    ...plainTemplate(limits, plan),
    network: "egress",
    egress: [{ address: "192.0.2.9", prefixBits: 32, port: 443 }],
  });
});

test("templateOf refuses a name that leads nowhere outside", async () => {
  await assert.rejects(templateOf(granted({ network: "egress", egressAllow: ["localhost:80"] }), plan), {
    code: "egress_refused",
  });
});
