import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { LimitName, MachineNetwork } from "@nexengine/machines/internal";
import type { Subject } from "../abilities.ts";
import { rejectsWith } from "../expect.ts";
import { makeSpec } from "../spec.ts";
import { TestMachine } from "../test-machine.ts";

const limitNames: LimitName[] = ["memoryBytes", "vcpus", "processes", "diskBytes"];
const target = { address: "192.0.2.1", prefixBits: 32, port: 443 };
const networks: MachineNetwork[] = ["none", "nats", "egress"];

export function bootCases({ driver, abilities }: Subject): void {
  test("fingerprint says that machines can be booted here", async () => {
    assert.equal((await driver.fingerprint()).available, true);
  });

  test("boot makes a machine whose guest answers over the frames", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.equal(machine.machine.id, machine.spec.id);
    assert.match(await machine.ask("hello"), /^\d+$/);
  });

  test("boot passes no variable and no descriptor of the host to the guest", {
    skip: !abilities.realGuest,
  }, async () => {
    process.env["NEX_CONTRACT_SECRET"] = "secret";
    await using machine = await TestMachine.ready(driver, abilities);
    delete process.env["NEX_CONTRACT_SECRET"];
    const told = await machine.ask("print");
    const { env, fds } = JSON.parse(told) as { env: object; fds: string[] };
    assert.doesNotMatch(told, /secret/i);
    assert.ok(!("PATH" in env), "The environment is not the host's");
    const own = (fd: string): boolean => fd.startsWith(machine.spec.directory) || fd.startsWith("/nex/");
    const files = fds.filter((fd) => fd.startsWith("/") && !/^\/(dev|proc)\//.test(fd) && !own(fd));
    assert.deepEqual(files, []);
  });

  test("boot refuses an id that could be a path, and leaves nothing", async () => {
    const spec = await makeSpec({ id: "../etc" });
    await rejectsWith(driver.boot(spec), "boot_failed");
    assert.equal(existsSync(spec.directory), false);
  });

  test("boot refuses a missing directory and a relative path", async () => {
    const spec = await makeSpec();
    await mkdir(join(spec.directory, "a"));
    await rejectsWith(driver.boot({ ...spec, directory: join(spec.directory, "b") }), "boot_failed");
    await rejectsWith(driver.boot({ ...spec, directory: "a" }), "boot_failed");
    await rejectsWith(driver.boot({ ...spec, id: "" }), "boot_failed");
  });

  test("boot enforces the limits that it declares, and refuses each of the others", async () => {
    assert.deepEqual([...driver.enforces].sort(), [...abilities.enforces].sort());
    for (const name of limitNames.filter((limit) => !driver.enforces.has(limit))) {
      const spec = await makeSpec({ limits: { [name]: 1 } });
      await rejectsWith(driver.boot(spec), "limit_not_enforced");
      assert.equal(existsSync(spec.directory), false);
    }
  });

  test("boot refuses each network that the driver does not offer", async () => {
    for (const network of networks.filter((name) => !driver.networks.has(name))) {
      await rejectsWith(
        driver.boot(await makeSpec({ network, ...(network === "egress" && { egress: [target] }) })),
        "network_not_offered",
      );
    }
  });
}
