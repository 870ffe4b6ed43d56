import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { endLeftovers } from "../../host/leftovers.ts";
import type { DriverAbilities, Subject } from "../abilities.ts";
import { ByteReader } from "../byte-reader.ts";
import { eventually, within } from "../expect.ts";
import { makeSpec } from "../spec.ts";
import { actMs } from "../test-machine.ts";

/** Starts a program that boots a machine in a directory and gives its guest a command. */
function startHost(driverModule: URL, directory: string, command: string): ChildProcess {
  const program = fileURLToPath(new URL("../host.ts", import.meta.url));
  return spawn(process.execPath, [...process.execArgv, program, driverModule.href, directory, command], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Kills the program that booted a machine, once its guest has obeyed; `check` looks at what is left. */
async function afterDeath(
  abilities: DriverAbilities,
  command: string,
  check: (directory: string) => Promise<void>,
): Promise<void> {
  const { directory } = await makeSpec();
  const host = startHost(abilities.driverModule ?? assert.fail("No driver module"), directory, command);
  try {
    const { stdout } = host;
    const line = new ByteReader(stdout ?? assert.fail("No output")).line();
    assert.ok(await within(line, abilities.bootTimeoutMs, "the guest of the other host"));
    assert.notDeepEqual(abilities.leftovers(directory), [], "The machine runs");
    const gone = once(host, "exit");
    host.kill("SIGKILL");
    await within(gone, actMs, "the end of the host");
    await check(directory);
  } finally {
    host.kill("SIGKILL");
    await endLeftovers(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

export function nodeDeathCases({ abilities }: Subject): void {
  const { driverModule, endsWithNode, leftovers } = abilities;
  const gone = (directory: string): Promise<void> =>
    eventually(() => leftovers(directory).length === 0, actMs, "the machine has ended with its node");

  test("kill -9 of its node ends a machine", { skip: !driverModule || endsWithNode === "none" }, async () => {
    await afterDeath(abilities, "hello", gone);
  });

  test("kill -9 of its node ends a busy machine", {
    skip: !driverModule || endsWithNode !== "all",
  }, async () => {
    await afterDeath(abilities, "spin", gone);
  });

  test("endLeftovers ends the daemon of a dead node's machine", {
    skip: !driverModule || endsWithNode === "none",
  }, async () => {
    await afterDeath(abilities, "daemon", async (directory) => {
      assert.notDeepEqual(leftovers(directory), [], "The daemon outlives the node");
      await endLeftovers(directory);
      await gone(directory);
      assert.equal(existsSync(directory), false);
    });
  });
}
