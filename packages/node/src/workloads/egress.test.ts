import assert from "node:assert/strict";
import { test } from "node:test";
import { type Resolve, resolveEgress } from "./egress.ts";

/** Resolves by a table, and notes what it was asked. */
function resolver(table: Readonly<Record<string, readonly string[]>>): { asked: string[]; resolve: Resolve } {
  const asked: string[] = [];
  return {
    asked,
    resolve: async (name) => {
      asked.push(name);
      return table[name] ?? Promise.reject(new RangeError("queryA ENOTFOUND"));
    },
  };
}

test("resolveEgress takes addresses and networks as they are written, inner ones too, and asks nobody", async () => {
  const { asked, resolve } = resolver({});
  const allow = ["192.0.2.1:80", "10.0.0.0/8:5432", "127.0.0.1:1", "169.254.169.254:80", "[2001:DB8::1]:443"];
  assert.deepEqual(await resolveEgress(allow, resolve), {
    egress: [
      { address: "192.0.2.1", prefixBits: 32, port: 80 },
      { address: "10.0.0.0", prefixBits: 8, port: 5432 },
      { address: "127.0.0.1", prefixBits: 32, port: 1 },
      { address: "169.254.169.254", prefixBits: 32, port: 80 },
      { address: "2001:db8::1", prefixBits: 128, port: 443 },
    ],
    hosts: [],
  });
  assert.deepEqual(asked, []);
});

test("resolveEgress gives a name's addresses to the rules and to the hosts file, asking once for all its ports", async () => {
  const { asked, resolve } = resolver({ "a.example": ["192.0.2.1", "2001:db8::1", "192.0.2.1"] });
  assert.deepEqual(await resolveEgress(["A.example:80", "a.example.:443"], resolve), {
    egress: [
      { address: "192.0.2.1", prefixBits: 32, port: 80 },
      { address: "2001:db8::1", prefixBits: 128, port: 80 },
      { address: "192.0.2.1", prefixBits: 32, port: 443 },
      { address: "2001:db8::1", prefixBits: 128, port: 443 },
    ],
    hosts: [
      { name: "a.example", address: "192.0.2.1" },
      { name: "a.example", address: "2001:db8::1" },
    ],
  });
  assert.deepEqual(asked, ["a.example"]);
});

test("resolveEgress takes a few addresses of a name that has many, so that the longest list fits a machine", async () => {
  const many = Array.from({ length: 100 }, (_, at) => `192.0.2.${at}`);
  const names = Array.from({ length: 64 }, (_, at) => `n${at}.example`);
  const { resolve } = resolver(Object.fromEntries(names.map((name) => [name, many])));
  const { egress, hosts } = await resolveEgress(
    names.map((name) => `${name}:443`),
    resolve,
  );
  // A machine takes 256 of each, and knows up to 64 servers of NATS by name.
  assert.deepEqual([egress.length, hosts.length], [192, 192]);
});

for (const address of [
  "0.0.0.0",
  "10.0.0.1",
  "100.64.0.1",
  "127.0.0.1",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.1",
  "192.168.1.1",
  "198.19.255.255",
  "224.0.0.1",
  "255.255.255.255",
  "::1",
  "::ffff:10.0.0.1",
  "::ffff:7f00:1",
  "64:ff9b::7f00:1",
  "64:ff9b:1::1",
  "fd00::1",
  "fe80::1",
  "ff02::1",
]) {
  test(`resolveEgress refuses a name that leads to ${address}, and takes what else it leads to`, async () => {
    const { resolve } = resolver({ "in.example": [address], "both.example": [address, "192.0.2.1"] });
    await assert.rejects(resolveEgress(["in.example:80"], resolve), {
      code: "egress_refused",
      message: `Cannot allow "in.example": it leads to addresses of the inside only (${address})`,
    });
    const { egress } = await resolveEgress(["both.example:80"], resolve);
    assert.deepEqual(egress, [{ address: "192.0.2.1", prefixBits: 32, port: 80 }]);
  });
}

for (const address of [
  "172.32.0.1",
  "100.128.0.1",
  "198.20.0.1",
  "223.255.255.255",
  "1.1.1.1",
  "2606:4700::1111",
]) {
  test(`resolveEgress takes ${address}, which is of the outside`, async () => {
    const { resolve } = resolver({ "out.example": [address] });
    assert.equal((await resolveEgress(["out.example:80"], resolve)).egress[0]?.address, address);
  });
}

test("resolveEgress refuses a name that has no address, and says why", async () => {
  const { resolve } = resolver({});
  await assert.rejects(resolveEgress(["192.0.2.1:80", "gone.example:80"], resolve), {
    code: "egress_refused",
    message: 'Cannot allow "gone.example": it has no address: queryA ENOTFOUND',
  });
});

test("resolveEgress asks the host's own resolver when it is given none", async () => {
  await assert.rejects(resolveEgress(["localhost:80"]), { code: "egress_refused", message: /127\.0\.0\.1/ });
});
