import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import type { MachineSpec } from "@nexengine/machines/internal";
import { MachineError } from "@nexengine/machines/internal";
import type { Subject } from "../abilities.ts";
import { rejectsWith } from "../expect.ts";
import { makeSpec } from "../spec.ts";
import { TestMachine } from "../test-machine.ts";

const host = { name: "nats.example.com", address: "10.20.30.40" };
const target = { address: "192.0.2.0", prefixBits: 24, port: 443 };

/** Invalid specs by their defect. Every driver must refuse them. */
const unfit: Record<string, Partial<MachineSpec>> = {
  "an invalid name": { hosts: [{ ...host, name: "a b" }] },
  "a name with a line break": { hosts: [{ ...host, name: "a\n10.0.0.1 b" }] },
  "another localhost": { hosts: [{ ...host, name: "localhost" }] },
  "a host without an address": { hosts: [{ ...host, address: "nats" }] },
  "an address with a zone": { hosts: [{ ...host, address: "fe80::1%eth0" }] },
  "too many hosts": { hosts: Array.from({ length: 257 }, () => host) },
  "an invalid loopback address": { loopbackAddresses: ["10.0.0.1/8"] },
  "a multicast loopback address": { loopbackAddresses: ["224.0.0.1"] },
  "too many loopback addresses": {
    loopbackAddresses: Array.from({ length: 65 }, (_, index) => `10.0.0.${index}`),
  },
  "egress targets of another network": { network: "nats", egress: [target] },
};

export function networkCases({ driver, abilities }: Subject): void {
  for (const [what, change] of Object.entries(unfit)) {
    test(`boot refuses ${what}, and leaves nothing`, async () => {
      const spec = await makeSpec(change);
      await rejectsWith(driver.boot(spec), "boot_failed");
      assert.equal(existsSync(spec.directory), false);
    });
  }

  test("boot refuses egress without targets and invalid targets", {
    skip: !driver.networks.has("egress"),
  }, async () => {
    const targets = [
      { prefixBits: 33 },
      { prefixBits: 16, address: "192.0.2.1" },
      { port: 0 },
      { address: "a" },
    ];
    const lists = [[], ...targets.map((change) => [{ ...target, ...change }]), Array(257).fill(target)];
    for (const egress of lists) {
      await rejectsWith(driver.boot(await makeSpec({ network: "egress", egress })), "boot_failed");
    }
  });

  test("a machine resolves its hosts and can't change them", {
    skip: !driver.ownLoopback || !abilities.realGuest,
  }, async () => {
    const further = { name: "a", address: "fd00::1" };
    const spec = await makeSpec({ hosts: [host, further] });
    await using machine = await TestMachine.boot(driver, abilities, spec);
    await machine.attach(1);
    const told = async (command: string): Promise<unknown> => JSON.parse(await machine.ask(command));
    assert.deepEqual(await told(`resolve ${host.name}`), [host.address]);
    assert.deepEqual(await told("resolve a"), ["fd00::1"]);
    assert.match(String(await told("resolve localhost")), /127\.0\.0\.1/);
    assert.match(String(await told("resolve example.com")), /EAI_AGAIN|ENOTFOUND/);
    assert.match(String(await told("write /etc/hosts")), /EROFS|EACCES/);
  });

  test("a machine's loopback answers to additional addresses that its host does not have", {
    skip: !driver.ownLoopback || !abilities.realGuest,
  }, async (context) => {
    const loopbackAddresses = ["10.20.30.40", "10.20.30.40", "127.0.0.9", "fd00:20::40"];
    const spec = await makeSpec({ network: "nats", loopbackAddresses });
    let machine: TestMachine;
    try {
      machine = await TestMachine.boot(driver, abilities, spec);
    } catch (error) {
      if (!(error instanceof MachineError) || error.code !== "network_not_offered") throw error;
      return context.skip(error.message);
    }
    await using booted = machine;
    await booted.attach(1);
    for (const place of [...loopbackAddresses, "10.20.30.40 443"]) {
      assert.equal(await booted.ask(`listen ${place}`), '"own"', place);
    }
    assert.equal(await booted.ask("listen 10.20.30.41"), '"EADDRNOTAVAIL"');
    assert.doesNotMatch(JSON.stringify(networkInterfaces()), /10\.20\.30\.40|fd00:20::40/);
  });
}
