/**
 * Plays the node of a lab: holds a driver in its network namespace and runs commands, one JSON line per command and
 * per answer. It runs until it is killed. Arguments: the module with `makeDriver`, the boot timeout, and options of
 * this node.
 */
import { createInterface } from "node:readline";
import type { Driver, MachineRecord, MachineSpec } from "@nexengine/machines/internal";
import { MachineError } from "@nexengine/machines/internal";
import { makeSpec } from "../drivers/contract/spec.ts";
import { TestMachine } from "../drivers/contract/test-machine.ts";
import { type Attempt, reach } from "../drivers/guest/guest-network.ts";

const [, , driverModule = "", bootTimeoutMs = "", options = "{}"] = process.argv;
const { makeDriver } = (await import(driverModule)) as { makeDriver(change: object): Driver };
const driver = makeDriver(JSON.parse(options) as object);
const abilities = {
  bootTimeoutMs: Number(bootTimeoutMs),
  reattach: true,
  recover: true,
  enforces: [],
  realGuest: true,
  endsWithNode: "none",
  exitStatus: false,
  orphans: () => [],
} as const;
const machines = new Map<string, TestMachine>();

function machineOf(id: string): TestMachine {
  const machine = machines.get(id);
  if (machine) return machine;
  throw new RangeError(`There is no machine "${id}"`);
}

/** Commands of the lab node. */
const commands = {
  fingerprint: async () => ({ ...(await driver.fingerprint()), networks: [...driver.networks] }),
  boot: async (spec: MachineSpec): Promise<MachineRecord | undefined> => {
    const machine = await TestMachine.boot(driver, abilities, spec);
    machines.set(spec.id, machine);
    await machine.attach(1);
    return machine.machine.record?.();
  },
  ask: async (id: string, command: string) => await machineOf(id).ask(command),
  destroy: async (id: string) => await machineOf(id).machine.destroy(),
  recover: async (record: MachineRecord, epoch: number) => {
    const found = await driver.recover?.(record);
    if (found === undefined) return false;
    const machine = new TestMachine(found, await makeSpec({ directory: record.directory }), abilities);
    machines.set(record.id, machine);
    await machine.attach(epoch);
    return true;
  },
  reach: async (attempts: Attempt[]) => await Promise.all(attempts.map(reach)),
};

/** Types of the commands and their answers. */
export type Commands = typeof commands;

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line) as [keyof Commands, ...unknown[]];
  const command = commands[name] as (...args: unknown[]) => Promise<unknown>;
  const answer = await command(...args).then(
    (result) => ({ result }),
    (error: unknown) => ({
      error: error instanceof MachineError ? `${error.code}: ${error.message}` : String(error),
    }),
  );
  console.log(JSON.stringify(answer));
}
