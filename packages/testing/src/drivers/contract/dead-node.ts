import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { MachineRecord } from "@nexengine/machines/internal";
import { cleanUpOrphans } from "@nexengine/machines/internal";
import { ByteReader } from "../guest/byte-reader.ts";
import type { DriverAbilities } from "./abilities.ts";
import { within } from "./expect.ts";
import { makeSpec } from "./spec.ts";
import { actMs } from "./test-machine.ts";

/** State left by a killed node. */
export interface DeadNode {
  directory: string;
  record: MachineRecord;
}

/** Kills the program that booted a machine once its guest has run the command, then calls `check`. */
export async function afterNodeDeath(
  abilities: DriverAbilities,
  { command, nodeLostTimeoutMs = 1_000 }: { command: string; nodeLostTimeoutMs?: number },
  check: (left: DeadNode) => Promise<void>,
): Promise<void> {
  const { directory } = await makeSpec();
  const module = abilities.driverModule ?? assert.fail("No driver module");
  const host = startHost(module, [directory, command, String(nodeLostTimeoutMs)]);
  try {
    const output = new ByteReader(host.stdout ?? assert.fail("No output"));
    assert.ok(await within(output.line(), abilities.bootTimeoutMs, "the guest of the other host"));
    const record = JSON.parse((await within(output.line(), actMs, "the record")) ?? "") as MachineRecord;
    assert.notDeepEqual(abilities.orphans(directory), [], "The machine runs");
    const gone = once(host, "exit");
    host.kill("SIGKILL");
    await within(gone, actMs, "the exit of the host");
    await check({ directory, record });
  } finally {
    host.kill("SIGKILL");
    await cleanUpOrphans(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

function startHost(driverModule: URL, args: string[]): ChildProcess {
  const program = fileURLToPath(new URL("./host.ts", import.meta.url));
  return spawn(process.execPath, [...process.execArgv, program, driverModule.href, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}
