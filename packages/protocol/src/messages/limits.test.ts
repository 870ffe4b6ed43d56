import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkLimits,
  egressAllowMax,
  type Limits,
  limitsSchema,
  networks,
  parseEgressRule,
  publishMax,
} from "./limits.ts";

/** Minimum and maximum of each numeric limit, and whether fractions are allowed. */
const bounds: [keyof Limits, least: number, most: number, fraction: boolean][] = [
  ["vcpus", 0.01, 1_024, true],
  ["memory_bytes", 67_108_864, 2 ** 50, false],
  ["disk_bytes", 1_048_576, 2 ** 50, false],
  ["processes", 32, 4_194_304, false],
  ["log_bytes_per_s", 1_024, 2 ** 40, false],
  ["call_time_ms", 1, 86_400_000, false],
];

for (const [name, least, most, fraction] of bounds) {
  test(`limitsSchema takes ${name} from ${least} to ${most} and nothing beside`, () => {
    for (const value of [least, most])
      assert.deepEqual(limitsSchema.parse({ [name]: value }), { [name]: value });
    for (const value of [
      least - 0.005,
      0,
      -1,
      most + 1,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      `${least}`,
      null,
    ]) {
      const result = limitsSchema.safeParse({ [name]: value });
      assert.deepEqual(result.error?.issues[0]?.path, [name], String(value));
    }
    assert.equal(limitsSchema.safeParse({ [name]: least + 0.5 }).success, fraction);
  });
}

test("limitsSchema states the bounds and the unit in its refusal", () => {
  const message = (limits: object): string => limitsSchema.safeParse(limits).error?.issues[0]?.message ?? "";
  assert.equal(message({ memory_bytes: 5 }), `must be from 67108864 to ${2 ** 50} bytes`);
  assert.equal(message({ processes: 64.5 }), "must be a whole number of processes");
});

test("limitsSchema accepts every network, and refuses unknown ones", () => {
  for (const network of networks) assert.ok(limitsSchema.safeParse({ network }).success);
  for (const limits of [{ network: "all" }, { gpus: 1 }, { memoryBytes: 2 ** 28 }, [], "none"]) {
    assert.ok(!limitsSchema.safeParse(limits).success, JSON.stringify(limits));
  }
});

test("limitsSchema defaults a published port to TCP, and refuses invalid ports", () => {
  const { publish } = limitsSchema.parse({ publish: [{ machine_port: 80 }] });
  assert.deepEqual(publish, [{ machine_port: 80, protocol: "tcp" }]);
  for (const port of [
    {},
    { machine_port: 0 },
    { machine_port: 65_536 },
    { machine_port: 80.5 },
    { machine_port: 80, host_port: 0 },
    { machine_port: 80, protocol: "udp" },
    { machine_port: 80, host: "0.0.0.0" },
  ]) {
    assert.ok(!limitsSchema.safeParse({ publish: [port] }).success, JSON.stringify(port));
  }
});

test("limitsSchema limits both lists and the length of an entry", () => {
  const lists = (entries: number, ports: number, characters: number): boolean =>
    limitsSchema.safeParse({
      egress_allow: Array.from({ length: entries }, () => "x".repeat(characters)),
      publish: Array.from({ length: ports }, () => ({ machine_port: 1 })),
    }).success;
  assert.ok(lists(egressAllowMax, publishMax, 262));
  assert.ok(!lists(egressAllowMax + 1, 0, 9));
  assert.ok(!lists(0, publishMax + 1, 9));
  assert.ok(!lists(1, 0, 263));
});

test("parseEgressRule reads names in lower case and without a trailing dot", () => {
  const longest = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`;
  for (const [text, name, port] of [
    ["example.com:443", "example.com", 443],
    ["EXAMPLE.Com.:1", "example.com", 1],
    ["db:5432", "db", 5432],
    ["my_db.stack_default:65535", "my_db.stack_default", 65_535],
    ["1.example:80", "1.example", 80],
    ["x-1:80", "x-1", 80],
    ["xn--bcher-kva.example:443", "xn--bcher-kva.example", 443],
    [`${longest}:80`, longest, 80],
  ] as const) {
    assert.deepEqual(parseEgressRule(text), { kind: "name", name, port }, text);
  }
});

test("parseEgressRule reads addresses and networks", () => {
  for (const [text, address, prefixBits, port] of [
    ["192.0.2.7:80", "192.0.2.7", 32, 80],
    ["192.0.2.7/32:80", "192.0.2.7", 32, 80],
    ["192.0.2.0/24:80", "192.0.2.0", 24, 80],
    ["192.0.2.128/25:80", "192.0.2.128", 25, 80],
    ["0.0.0.0/0:443", "0.0.0.0", 0, 443],
    ["[2001:DB8::1]:443", "2001:db8::1", 128, 443],
    ["[::ffff:192.0.2.1]:443", "::ffff:192.0.2.1", 128, 443],
  ] as const) {
    assert.deepEqual(parseEgressRule(text), { kind: "address", address, prefixBits, port }, text);
  }
});

for (const [what, texts] of Object.entries({
  "has no port": ["example.com", "192.0.2.1", "[2001:db8::1]", "example.com:", "2001:db8::1"],
  "has an invalid port": [
    "a.b:0",
    "a.b:080",
    "a.b:65536",
    "a.b:-1",
    "a.b:8e1",
    "a.b:http",
    "a.b: 80",
    "a.b:99999",
  ],
  "has no host": [":80", "[]:80", "/24:80"],
  "is not an address": [
    "256.0.0.1:80",
    "1.2.3:80",
    "01.2.3.4:80",
    "1.2.3.4.5:80",
    "127.1:80",
    "4294967295:80",
  ],
  "is not a network": [
    "192.0.2.0/33:80",
    "192.0.2.0/024:80",
    "192.0.2.0/:80",
    "192.0.2.0/-1:80",
    "example.com/24:80",
  ],
  "is not an IPv6 address": [
    "[1:2:3]:80",
    "[:::]:80",
    "[192.0.2.1]:80",
    "[fe80::1%eth0]:80",
    "[x@[::1]:80",
    "[2001:db8::]/64:80",
  ],
  "is not a name": [
    "-a.b:80",
    "a-.b:80",
    "a..b:80",
    ".a:80",
    "a b:80",
    "ü.example:80",
    `${"a".repeat(64)}.b:80`,
    "*.b:80",
  ],
  "has more than one entry": ["http://a.b:80", "a.b:80/x", "u@a.b:80", "a.b:80\n", "a.b:80,c.d:80"],
})) {
  test(`parseEgressRule refuses what ${what}`, () => {
    for (const text of texts) assert.throws(() => parseEgressRule(text), { code: "limits_invalid" }, text);
  });
}

test("parseEgressRule reports where a network starts", () => {
  assert.throws(() => parseEgressRule("10.1.2.3/8:80"), {
    code: "limits_invalid",
    message: 'Cannot allow "10.1.2.3/8:80": the network starts at 10.0.0.0/8',
  });
  assert.throws(() => parseEgressRule("192.0.2.130/25:80"), /starts at 192\.0\.2\.128\/25$/);
});

test("parseEgressRule does not quote control characters", () => {
  assert.throws(() => parseEgressRule("\u001b[31mred"), /^NexError: Cannot allow "\ufffd\[31mred"/);
});

test("checkLimits accepts consistent limits", () => {
  const port = { protocol: "tcp" } as const;
  for (const limits of [
    {},
    { network: "none" },
    {
      network: "nats",
      publish: [
        { machine_port: 1, ...port },
        { machine_port: 2, ...port },
      ],
    },
    { network: "egress", egress_allow: ["a.b:80", "192.0.2.1:80"] },
    { network: "nats", egress_allow: [], publish: [] },
  ] satisfies Limits[]) {
    checkLimits(limits);
  }
});

for (const [what, limits, message] of [
  ["a malformed entry", { network: "egress", egress_allow: ["a.b:80", "?"] }, /^Cannot allow "\?"/],
  ["a list without its network", { egress_allow: ["a.b:80"] }, /the network is not "egress"$/],
  ["a list with a narrower network", { network: "nats", egress_allow: ["a.b:80"] }, /is not "egress"$/],
  ["a network without its list", { network: "egress" }, /the allow-list is empty$/],
  [
    "a port of the machine twice",
    {
      publish: [
        { machine_port: 80, protocol: "tcp" },
        { machine_port: 80, host_port: 8080, protocol: "tcp" },
      ],
    },
    /port 80 twice \(machine_port\)$/,
  ],
  [
    "a port of the host twice",
    {
      publish: [
        { machine_port: 80, host_port: 8080, protocol: "tcp" },
        { machine_port: 81, host_port: 8080, protocol: "tcp" },
      ],
    },
    /port 8080 twice \(host_port\)$/,
  ],
] as [string, Limits, RegExp][]) {
  test(`checkLimits refuses ${what}`, () => {
    assert.throws(() => checkLimits(limits), { code: "limits_invalid", message });
  });
}
