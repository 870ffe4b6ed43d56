import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Driver, MachineRecord } from "@nexengine/machines";
import { type MockBoot, MockDriver, type MockMachine } from "@nexengine/testing/internal";
import { pino } from "pino";
import { StateDirectory } from "../state/state-directory.ts";
import { cleanUpAfterPreviousNode } from "./previous-node.ts";

/** A state directory as a dead node has left it. */
class Estate implements AsyncDisposable {
  readonly driver: MockDriver;
  readonly directory: StateDirectory;
  readonly said: { level: number; msg: string; machine?: string; machines?: number }[] = [];
  #booted = 0;

  private constructor(directory: StateDirectory, script: readonly MockBoot[]) {
    this.directory = directory;
    this.driver = new MockDriver({ script });
  }

  static async make(...script: MockBoot[]): Promise<Estate> {
    return new Estate(await StateDirectory.open(), script);
  }

  /** A machine that runs, and stands in the records. */
  async machine(): Promise<MockMachine> {
    const id = `m${++this.#booted}`;
    const directory = this.folder(id);
    const spec = { id, directory, limits: {}, network: "nats", nodeLostTimeoutMs: 1_000 } as const;
    const machine = await this.driver.boot(spec);
    await this.record(machine.record());
    return machine;
  }

  folder(name: string): string {
    const path = join(this.directory.machines, name);
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  async record(record: MachineRecord): Promise<void> {
    await this.directory.records.write(record);
  }

  /** Ends all, as the next node does. */
  async end(driver: Driver | undefined = this.driver): Promise<void> {
    const log = pino({}, { write: (line: string) => void this.said.push(JSON.parse(line)) });
    await cleanUpAfterPreviousNode(this.directory, (kind) => (kind === "process" ? driver : undefined), log);
  }

  async left(): Promise<string[]> {
    const records = (await this.directory.records.list()).map(({ id }) => `record ${id}`);
    return [...readdirSync(this.directory.machines), ...records].sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id } of await this.directory.records.list()) await this.directory.records.remove(id);
    await this.directory[Symbol.asyncDispose]();
  }
}

test("cleanUpAfterPreviousNode has nothing to do, and nothing to say, where nothing is left", async () => {
  await using estate = await Estate.make();
  await estate.end();
  assert.deepEqual(estate.said, []);
});

test("cleanUpAfterPreviousNode ends every machine that stands in the records", async () => {
  await using estate = await Estate.make();
  const machines = [await estate.machine(), await estate.machine()];
  await estate.end();
  assert.ok(machines.every(({ guest }) => guest.ended));
  assert.deepEqual(await estate.left(), []);
  assert.deepEqual(
    estate.said.map(({ msg, machines: count }) => [msg, count]),
    [["ended the machines of the previous node", 2]],
  );
});

test("cleanUpAfterPreviousNode removes what is left of machines that have ended by themselves", async () => {
  await using estate = await Estate.make();
  const machine = await estate.machine();
  machine.guest.exit(0);
  await estate.end();
  assert.deepEqual(await estate.left(), []);
});

test("cleanUpAfterPreviousNode ends a machine of a kind that no driver recovers by its directory", async () => {
  await using estate = await Estate.make();
  const directory = estate.folder("m7");
  writeFileSync(join(directory, "artifact"), "x");
  await estate.record({ driver: "process", id: "m7", directory, facts: {} });
  await estate.end();
  assert.deepEqual(await estate.left(), []);
});

test("cleanUpAfterPreviousNode removes directories that no record names", async () => {
  await using estate = await Estate.make();
  writeFileSync(join(estate.folder("unknown"), "artifact"), "x");
  await estate.end();
  assert.deepEqual(await estate.left(), []);
});

test("cleanUpAfterPreviousNode tells what it can't end, and keeps its record for the next node", async () => {
  await using estate = await Estate.make({ destroyFailures: 1 }, {});
  const stubborn = await estate.machine();
  const obedient = await estate.machine();
  await estate.end();
  assert.deepEqual(await estate.left(), ["m1", "record m1"]);
  assert.equal(existsSync(obedient.spec.directory), false);
  assert.deepEqual(
    estate.said.map(({ msg, machine, machines }) => [msg, machine ?? machines]),
    [
      ["a machine of the previous node is left", stubborn.id],
      ["ended the machines of the previous node", 1],
    ],
  );
});
