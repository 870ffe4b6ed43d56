import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeLimits, type WorkloadLimits } from "./limits.ts";

test("encodeLimits gives every limit the name that it has on the wire", () => {
  const limits: Required<WorkloadLimits> = {
    vcpus: 0.5,
    memoryBytes: 2 ** 28,
    diskBytes: 2 ** 27,
    processes: 64,
    logBytesPerSecond: 10_000,
    callTimeMs: 250,
    network: "egress",
    egressAllow: ["example.com:443"],
    publish: [{ machinePort: 80, hostPort: 8080 }, { machinePort: 81 }],
  };
  assert.deepEqual(encodeLimits(limits), {
    vcpus: 0.5,
    memory_bytes: 2 ** 28,
    disk_bytes: 2 ** 27,
    processes: 64,
    log_bytes_per_s: 10_000,
    call_time_ms: 250,
    network: "egress",
    egress_allow: ["example.com:443"],
    publish: [
      { machine_port: 80, host_port: 8080, protocol: "tcp" },
      { machine_port: 81, protocol: "tcp" },
    ],
  });
});

test("encodeLimits has nothing for limits that say nothing", () => {
  for (const limits of [undefined, {}, { egressAllow: [], publish: [] }]) {
    assert.equal(encodeLimits(limits), undefined);
  }
});

for (const [what, limits, message] of [
  ["is out of bounds", { memoryBytes: 1 }, /^Cannot set the limit memory_bytes: must be from 67108864 /],
  ["is no number", { vcpus: Number.NaN }, /^Cannot set the limit vcpus: must be from 0\.01 /],
  ["is a fraction", { processes: 64.5 }, /a whole number of processes$/],
  ["is no network", { network: "all" }, /^Cannot set the limit network: /],
  ["is no port", { publish: [{ machinePort: 70_000 }] }, /^Cannot set the limit publish\.0\.machine_port: /],
  ["is no place to allow", { network: "egress", egressAllow: ["example.com"] }, /an entry is host:port/],
  ["does not go with the network", { egressAllow: ["example.com:443"] }, /the network is not "egress"$/],
  ["is of another name", { memory_bytes: 2 ** 28 }, /^Cannot set the limit memory_bytes: there is none /],
  [
    "is no part of a port",
    { publish: [{ machinePort: 80, host_port: 80 }] },
    /limit host_port: there is none /,
  ],
  ["publishes a port twice", { publish: [{ machinePort: 80 }, { machinePort: 80 }] }, /port 80 twice/],
] as [string, WorkloadLimits, RegExp][]) {
  test(`encodeLimits refuses what ${what}`, () => {
    assert.throws(() => encodeLimits(limits), { code: "limits_invalid", message });
  });
}
