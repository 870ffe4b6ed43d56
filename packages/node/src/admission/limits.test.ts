import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LimitName, MachineNetwork } from "@nexengine/machines";
import type { Limits, PublishedPort, WorkloadType } from "@nexengine/protocol/messages";
import type { GrantedLimits } from "../workloads/spec.ts";
import { grantLimits, type LimitFacts } from "./limits.ts";

const everyLimit: LimitName[] = ["memoryBytes", "vcpus", "processes", "diskBytes"];
const everyNetwork: MachineNetwork[] = ["none", "nats", "egress"];
const container: LimitFacts["driver"] = {
  kind: "container",
  enforces: new Set(everyLimit),
  networks: new Set(everyNetwork),
  ownLoopback: true,
  carriesIpv6: false,
};
const withIpv6: LimitFacts["driver"] = { ...container, carriesIpv6: true };
/** A sandbox that holds nothing. */
const plain: LimitFacts["driver"] = {
  kind: "process",
  enforces: new Set(),
  networks: new Set(["nats"]),
  ownLoopback: false,
  carriesIpv6: false,
};

/** Grants to a service in a container, unless it is said otherwise. */
function grant(
  asked: Limits,
  { type = "native", ...facts }: Partial<LimitFacts> & { type?: WorkloadType } = {},
): GrantedLimits {
  return grantLimits(asked, type, { defaults: {}, max: {}, driver: container, hostNetworks: [], ...facts });
}

describe("grantLimits, of what is counted", () => {
  test("gives what is asked for, under the names of those who hold it", () => {
    const asked: Limits = {
      vcpus: 0.5,
      memory_bytes: 2 ** 28,
      disk_bytes: 2 ** 27,
      processes: 64,
      log_bytes_per_s: 5_000,
      call_time_ms: 250,
    };
    assert.deepEqual(grant(asked, { defaults: { vcpus: 1, memory_bytes: 2 ** 29 } }), {
      machine: { vcpus: 0.5, memoryBytes: 2 ** 28, diskBytes: 2 ** 27, processes: 64 },
      network: "nats",
      egressAllow: [],
      publish: [],
      logBytesPerSecond: 5_000,
      callTimeMs: 250,
    });
  });

  test("gives the node's default for what is not asked for, and nothing without one", () => {
    const defaults = { vcpus: 1, log_bytes_per_s: 9_000 };
    const { machine, logBytesPerSecond, callTimeMs } = grant({}, { defaults });
    assert.deepEqual([machine, logBytesPerSecond, callTimeMs], [{ vcpus: 1 }, 9_000, undefined]);
  });

  test("gives no default above the node's maximum, and the maximum where there is no default", () => {
    const max = { vcpus: 1, memory_bytes: 2 ** 28, call_time_ms: 100 };
    const { machine, callTimeMs } = grant({}, { defaults: { vcpus: 4, memory_bytes: 2 ** 27 }, max });
    assert.deepEqual([machine, callTimeMs], [{ vcpus: 1, memoryBytes: 2 ** 27 }, 100]);
  });

  test("gives as much as the maximum, and refuses more, saying how much there is", () => {
    const max = { memory_bytes: 2 ** 28, call_time_ms: 100 };
    assert.equal(grant({ memory_bytes: 2 ** 28 }, { max }).machine.memoryBytes, 2 ** 28);
    assert.throws(() => grant({ memory_bytes: 2 ** 28 + 1 }, { max }), {
      code: "limit_too_high",
      message: "Cannot give 268435457 bytes of memory: this node gives one workload at most 268435456",
    });
    assert.throws(() => grant({ call_time_ms: 101 }, { max }), { code: "limit_too_high" });
  });

  for (const name of ["vcpus", "memory_bytes", "disk_bytes", "processes"] as const) {
    test(`refuses ${name} in a sandbox that does not hold it, and gives no default of it there`, () => {
      assert.throws(() => grant({ [name]: 100 }, { driver: plain }), {
        code: "limit_not_enforced",
        message: `Cannot limit ${name}: machines of the kind "process" don't hold it`,
      });
      assert.deepEqual(
        grant({}, { driver: plain, defaults: { [name]: 100 }, max: { [name]: 50 } }).machine,
        {},
      );
    });
  }

  test("gives in every sandbox what the node holds itself", () => {
    const { logBytesPerSecond, callTimeMs } = grant(
      { log_bytes_per_s: 5_000, call_time_ms: 250 },
      { driver: plain },
    );
    assert.deepEqual([logBytesPerSecond, callTimeMs], [5_000, 250]);
  });
});

describe("grantLimits, of the network", () => {
  const egress: Limits = { network: "egress", egress_allow: ["a.example:443"] };

  test("gives services NATS and functions nothing, unless the node says otherwise", () => {
    assert.equal(grant({}).network, "nats");
    assert.equal(grant({}, { type: "v8" }).network, "none");
    assert.equal(grant({}, { type: "v8", defaults: { network: "nats" } }).network, "nats");
    assert.equal(grant({}, { max: { network: "none" } }).network, "none");
  });

  test("gives each kind that is asked for, with what it may reach", () => {
    for (const network of ["none", "nats"] as const) assert.equal(grant({ network }).network, network);
    const { network, egressAllow } = grant(egress, { type: "v8" });
    assert.deepEqual([network, egressAllow], ["egress", ["a.example:443"]]);
  });

  test("refuses a wider one than the node's widest", () => {
    assert.throws(() => grant(egress, { max: { network: "nats" } }), { code: "limit_too_high" });
    assert.throws(() => grant({ network: "nats" }, { max: { network: "none" } }), {
      code: "limit_too_high",
      message: 'Cannot give the network "nats": this node gives one workload at most "none"',
    });
  });

  test("refuses one that the host does not have", () => {
    const driver = { ...container, networks: new Set<MachineNetwork>(["none", "nats"]) };
    assert.throws(() => grant(egress, { driver }), { code: "limit_not_enforced" });
  });

  test("refuses to promise anything on the host's own network but that NATS is there", () => {
    const driver = { ...plain, networks: new Set(everyNetwork) };
    for (const asked of [{ network: "none" }, egress] satisfies Limits[]) {
      assert.throws(() => grant(asked, { driver }), { code: "limit_not_enforced" }, asked.network);
    }
    assert.equal(grant({ network: "nats" }, { driver }).network, "nats");
  });

  test("gives the node's default of egress with the node's list", () => {
    const { network, egressAllow } = grant({}, { defaults: egress, max: { egress_allow: [] } });
    assert.deepEqual([network, egressAllow], ["egress", ["a.example:443"]]);
  });

  test("narrows a default of egress where the node or its host has none", () => {
    const driver = { ...container, networks: new Set<MachineNetwork>(["none", "nats"]) };
    for (const facts of [{ driver }, { max: { network: "nats" } }] satisfies Partial<LimitFacts>[]) {
      const { network, egressAllow } = grant({}, { defaults: egress, ...facts });
      assert.deepEqual([network, egressAllow], ["nats", []]);
    }
  });

  test("refuses an address of IPv6, asked for or by default, where machines carry none", () => {
    const listed: Limits = { network: "egress", egress_allow: ["a.example:443", "[2001:db8::1]:80"] };
    const refusal = { code: "limit_not_enforced", message: /"\[2001:db8::1\]:80": .* carry IPv4 only/ };
    assert.throws(() => grant(listed), refusal);
    assert.throws(() => grant({}, { defaults: listed }), refusal);
    assert.deepEqual(grant(listed, { driver: withIpv6 }).egressAllow, listed.egress_allow);
  });

  const list = ["a.example:443", "10.0.0.0/8:5432", "192.0.2.1:80", "[2001:db8::1]:80"];
  for (const entry of [...list, "A.Example:443", "10.1.2.3:5432", "10.128.0.0/9:5432"]) {
    test(`allows ${entry}, which the node's list holds`, () => {
      const asked: Limits = { network: "egress", egress_allow: [entry] };
      const facts = { max: { egress_allow: list }, driver: withIpv6 };
      assert.deepEqual(grant(asked, facts).egressAllow, [entry]);
    });
  }
  for (const entry of [
    "b.example:443",
    "a.example:80",
    "x.a.example:443",
    "11.0.0.1:5432",
    "10.1.2.3:80",
    "0.0.0.0/0:5432",
    "10.0.0.0/7:5432",
    "192.0.2.0/24:80",
    "[2001:db8::2]:80",
  ]) {
    test(`refuses ${entry}, which the node's list does not hold`, () => {
      const asked: Limits = { network: "egress", egress_allow: ["192.0.2.1:80", entry] };
      assert.throws(() => grant(asked, { max: { egress_allow: list }, driver: withIpv6 }), {
        code: "limit_too_high",
        message: `Cannot allow "${entry}": it is not among what this node lets workloads reach`,
      });
    });
  }
});

describe("grantLimits, of metadata addresses and of the host's networks", () => {
  const hostNetworks = [
    { address: "203.0.113.0", prefixBits: 24 },
    { address: "10.5.0.0", prefixBits: 16 },
  ];
  const asks = (entry: string, most?: string[]): string => {
    const max: Limits = most === undefined ? {} : { egress_allow: most };
    try {
      const { egressAllow } = grant({ network: "egress", egress_allow: [entry] }, { max, hostNetworks });
      return egressAllow.join();
    } catch (error) {
      return (error as Error).message.replace(/^Cannot allow "[^"]*": /, "");
    }
  };
  const unnamed = "and this node's limits.max.egress_allow does not name it";

  for (const address of ["169.254.169.254", "168.63.129.16", "100.100.100.200"]) {
    test(`gives ${address} only where the node's maximum names it`, () => {
      const entry = `${address}:80`;
      const refusal = `it is an address of a cloud's secrets, ${unnamed}`;
      assert.equal(asks(entry), refusal);
      assert.equal(asks(entry, ["0.0.0.0/0:80"]), refusal);
      assert.equal(asks(entry, ["168.0.0.0/6:80", "169.254.0.0/16:80", "100.64.0.0/10:80"]), refusal);
      assert.equal(asks(entry, [`${address}:81`]), refusal);
      assert.equal(asks(entry, [entry]), entry);
    });
  }

  test("gives an address of the host's networks only where the node's maximum names it", () => {
    const refusal = `it is in a network of the node's host, ${unnamed}`;
    for (const entry of ["203.0.113.9:443", "10.5.1.1:443", "10.5.0.0/16:443"]) {
      assert.equal(asks(entry), refusal);
      assert.equal(asks(entry, ["0.0.0.0/0:443"]), refusal);
      assert.equal(asks(entry, [entry]), entry);
    }
    assert.equal(asks("10.5.1.1:443", ["10.0.0.0/8:443"]), "10.5.1.1:443");
    assert.equal(asks("203.0.113.9:443", ["203.0.112.0/20:443"]), refusal);
    for (const entry of ["10.6.1.1:443", "0.0.0.0/0:443", "198.51.100.1:443", "a.example:443"])
      assert.equal(asks(entry), entry);
  });
});

describe("grantLimits, of published ports", () => {
  const port = (host_port?: number): PublishedPort => ({
    machine_port: 80,
    protocol: "tcp",
    ...(host_port === undefined ? {} : { host_port }),
  });

  test("gives those that are asked for, where the node has no list of them", () => {
    const publish = [port(8080), port()];
    assert.deepEqual(grant({ publish }).publish, publish);
  });

  test("gives those of the node's list only, and any free one only where the list says so", () => {
    const max = { publish: [port(8080)] };
    assert.deepEqual(grant({ publish: [port(8080)] }, { max }).publish, [port(8080)]);
    assert.throws(() => grant({ publish: [port(8081)] }, { max }), {
      code: "limit_too_high",
      message: /^Cannot publish port 8081: /,
    });
    assert.throws(() => grant({ publish: [port()] }, { max }), {
      code: "limit_too_high",
      message: /^Cannot publish port of its own choice: /,
    });
    assert.deepEqual(grant({ publish: [port()] }, { max: { publish: [port()] } }).publish, [port()]);
    assert.throws(() => grant({ publish: [port(8080)] }, { max: { publish: [] } }), {
      code: "limit_too_high",
    });
  });

  test("refuses one of a function, of a machine without network, and of one on the host's own", () => {
    const publish = [port(8080)];
    assert.throws(() => grant({ publish }, { type: "v8" }), {
      code: "limits_invalid",
      message: /of a function/,
    });
    assert.throws(() => grant({ publish, network: "none" }), { code: "limits_invalid", message: /"none"$/ });
    assert.throws(() => grant({ publish }, { driver: plain }), { code: "limit_not_enforced" });
  });
});

describe("grantLimits, of memory that the host does not have", () => {
  test("refuses it, and says how much there is", () => {
    const facts = { hostMemoryBytes: 2 ** 30 };
    assert.equal(grant({ memory_bytes: 2 ** 30 }, facts).machine.memoryBytes, 2 ** 30);
    assert.throws(() => grant({ memory_bytes: 2 ** 30 + 1 }, facts), {
      code: "limit_too_high",
      message: "Cannot give 1073741825 bytes of memory: this node's host has 1073741824",
    });
  });
});
