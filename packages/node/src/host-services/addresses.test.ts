import assert from "node:assert/strict";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import { test } from "node:test";
import { AddressRules } from "./addresses.ts";

test("AddressRules refuse the inside, and what carries an address of it, until it is listed", () => {
  const none = new AddressRules([]);
  for (const address of [
    "10.0.0.1",
    "168.63.129.16",
    "fec0::1",
    "2001:0:a00:1::1",
    "2002:a00:1::1",
    "64:ff9b::a00:1",
  ]) {
    assert.ok(!none.allows(address, address, 80), address);
    assert.ok(new AddressRules([address]).allows(address, address, 80), address);
    assert.ok(!none.allows("rebinding.example", address, 80), "whatever name leads there");
  }
  assert.ok(none.allows("8.8.8.8", "8.8.8.8", 80));
});

test("AddressRules give metadata of a cloud only to an entry for its address", () => {
  const address = "169.254.169.254";
  const allows = (...entries: string[]): boolean => new AddressRules(entries).allows(address, address, 80);
  assert.ok(!allows("169.254.0.0/16") && !allows("0.0.0.0/0") && !allows("169.254.169.253"));
  assert.ok(allows("169.254.169.254") && allows("169.254.169.254:80") && !allows("169.254.169.254:81"));
});

test("AddressRules refuse the addresses of this host, also public ones", (context) => {
  const own = {
    address: "203.0.113.77",
    netmask: "255.255.255.0",
    family: "IPv4",
    mac: "",
    internal: false,
  } as const;
  context.mock.method(os, "networkInterfaces", () => ({ eth0: [{ ...own, cidr: "203.0.113.77/24" }] }));
  syncBuiltinESMExports();
  context.after(() => {
    context.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const rules = new AddressRules([]);
  assert.ok(!rules.allows("own.example", "203.0.113.77", 80));
  assert.ok(rules.allows("other.example", "203.0.113.78", 80));
  assert.ok(new AddressRules(["203.0.113.77:80"]).allows("203.0.113.77", "203.0.113.77", 80));
});
