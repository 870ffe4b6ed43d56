import assert from "node:assert/strict";
import { test } from "node:test";
import { networkRefusal } from "./spec-network.ts";

const refusalOf = (name: string): string | undefined =>
  networkRefusal({ network: "nats", hosts: [{ name, address: "127.0.0.1" }] });

for (const name of [
  "nats",
  "nats.example.com",
  "nats_1.my_stack_default",
  "_srv.example",
  "1.example",
  "a--b.c",
  `${"a".repeat(63)}.b`,
]) {
  test(`networkRefusal accepts the host name ${name.slice(0, 30)}`, () => {
    assert.equal(refusalOf(name), undefined);
  });
}

for (const name of [
  "",
  "NATS",
  "a..b",
  ".a",
  "a.",
  "-a.b",
  "a-.b",
  "a.-b",
  "a b",
  "a\n127.0.0.1 b",
  "ü.example",
  `${"a".repeat(64)}.b`,
  "localhost",
]) {
  test(`networkRefusal refuses the host name ${JSON.stringify(name.slice(0, 30))}`, () => {
    assert.match(refusalOf(name) ?? "", /host name/);
  });
}
