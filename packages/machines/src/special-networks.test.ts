import assert from "node:assert/strict";
import { syncBuiltinESMExports } from "node:module";
import os, { networkInterfaces } from "node:os";
import { test } from "node:test";
import { guardedNetworks, hostNetworks, isInside, isMetadata } from "./special-networks.ts";

test("isInside covers every special range, including IPv4 addresses embedded in IPv6", () => {
  const insides = `127.0.0.1 10.1.2.3 172.31.0.1 192.168.1.1 169.254.169.254 100.64.0.1 168.63.129.16 0.0.0.0
    192.0.0.192 192.88.99.1 224.0.0.1 255.255.255.255 ::1 :: ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::10.0.0.1 64:ff9b::a00:1
    64:ff9b:1::1 2001::1 2001:0:a00:1::1 2001:1::1 2002:a00:1::1 2002:7f00:1:: fc00::1 fd00:ec2::254 fe80::1 fec0::1
    feff::1 ff02::1 100::1`;
  for (const address of insides.split(/\s+/)) assert.ok(isInside(address), address);
  const outsides =
    "8.8.8.8 168.63.129.15 100.128.0.1 172.32.0.1 2600::1 2001:4860:4860::8888 ::ffff:8.8.8.8 2003::1";
  for (const address of outsides.split(/\s+/)) assert.ok(!isInside(address), address);
});

test("isMetadata covers the metadata addresses of the large clouds", () => {
  for (const address of ["169.254.169.254", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254"])
    assert.ok(isMetadata(address), address);
  for (const address of ["169.254.169.1", "fd00:ec3::254", "10.0.0.1"])
    assert.ok(!isMetadata(address), address);
});

test("isInside covers every address of this host, also outside special ranges", (context) => {
  const entry = { netmask: "255.255.255.0", mac: "02:00:00:00:00:01", internal: false } as const;
  context.mock.method(os, "networkInterfaces", () => ({
    lo: [{ ...entry, address: "127.0.0.1", family: "IPv4", cidr: "127.0.0.1/8", internal: true }],
    eth0: [
      { ...entry, address: "203.0.113.77", family: "IPv4", cidr: "203.0.113.77/24" },
      { ...entry, address: "2600:1::7", family: "IPv6", cidr: "2600:1::7/64", scopeid: 0 },
    ],
  }));
  syncBuiltinESMExports();
  context.after(() => {
    context.mock.restoreAll();
    syncBuiltinESMExports();
  });
  assert.equal(networkInterfaces()["eth0"]?.length, 2);
  for (const address of ["203.0.113.77", "::ffff:203.0.113.77", "2600:1::7", "2600:1:0::0:7"])
    assert.ok(isInside(address), address);
  assert.ok(!isInside("203.0.113.78"));
  assert.deepEqual(hostNetworks(), [{ address: "203.0.113.0", prefixBits: 24 }]);
});

test("guardedNetworks sorts narrow networks before the networks that contain them", () => {
  const all = guardedNetworks([{ address: "10.5.0.0", prefixBits: 16 }]);
  const bits = all.map(({ prefixBits }) => prefixBits);
  assert.deepEqual(
    bits,
    bits.toSorted((one, other) => other - one),
  );
  assert.ok(
    all.some(({ address }) => address === "10.5.0.0") &&
      all.some(({ address }) => address === "168.63.129.16"),
  );
});
