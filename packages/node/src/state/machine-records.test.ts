import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { MachineRecord } from "@nexengine/machines";
import { MachineRecords } from "./machine-records.ts";

/** Records in a directory of their own. */
async function inDirectory(): Promise<{ records: MachineRecords } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "nex-records-"));
  return {
    records: new MachineRecords(path),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

const record: MachineRecord = {
  driver: "container",
  id: "m1",
  directory: "/somewhere/m1",
  facts: { pid: 7, cgroup: "nex-1" },
};

test("MachineRecords gives back what was written, the last of each machine", async () => {
  await using place = await inDirectory();
  const { records } = place;
  await records.write({ ...record, facts: {} });
  await records.write(record);
  await records.write({ ...record, id: "m2" });
  const listed = await records.list();
  assert.deepEqual(
    listed.sort((a, b) => a.id.localeCompare(b.id)),
    [record, { ...record, id: "m2" }],
  );
});

test("MachineRecords keeps them from everybody else", async () => {
  await using place = await inDirectory();
  await place.records.write(record);
  assert.equal((await stat(join(place.records.path, "m1.json"))).mode & 0o777, 0o600);
});

test("MachineRecords forgets a machine, and one that it never knew", async () => {
  await using place = await inDirectory();
  await place.records.write(record);
  await place.records.remove("m1");
  await place.records.remove("m1");
  assert.deepEqual(await place.records.list(), []);
});

test("MachineRecords removes what was not written to its end, and what is no record", async () => {
  await using place = await inDirectory();
  const { records } = place;
  await records.write(record);
  for (const [name, text] of [
    ["m2.json.new", JSON.stringify(record)],
    ["m3.json", ""],
    ["m4.json", JSON.stringify(record).slice(0, -9)],
    ["m5.json", JSON.stringify({ ...record, driver: "abacus" })],
    ["m6.json", JSON.stringify({ ...record, id: "../m6" })],
    ["m7.json", JSON.stringify({ ...record, facts: { pid: { of: 1 } } })],
    ["notes.txt", "hello"],
  ] as const) {
    await writeFile(join(records.path, name), text);
  }
  assert.deepEqual(await records.list(), [record]);
  assert.deepEqual(await readdir(records.path), ["m1.json"]);
});

test("MachineRecords removes nothing that it can't read now", async () => {
  await using place = await inDirectory();
  const { records } = place;
  // Stands for a disk that gives an error.
  await mkdir(join(records.path, "m1.json"));
  await assert.rejects(records.list(), { code: "state_unusable", message: /^Cannot read the records/ });
  assert.deepEqual(await readdir(records.path), ["m1.json"]);
});
