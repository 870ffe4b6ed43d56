import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type DeployRecord, DeployRecords } from "./deploy-records.ts";

/** Records in a directory that is removed at the end of the block. */
async function bench(): Promise<{ records: DeployRecords } & AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), "nex-records-"));
  return {
    records: new DeployRecords(directory),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

function recordOf(id: string, acceptedMs = 1): DeployRecord {
  return {
    version: 1,
    id,
    namespace: "default",
    request: Buffer.from("{}").toString("base64"),
    accepted_ms: acceptedMs,
    artifact: { sha256: "a".repeat(64), bytes: 5 },
    published: [],
    restarts: 0,
  };
}

test("DeployRecords lists what was committed, in the order of admission, and removes what was not", async () => {
  await using made = await bench();
  const { records } = made;
  await (await records.prepare(recordOf("b", 2))).commit();
  await (await records.prepare(recordOf("a", 3))).commit();
  await (await records.prepare(recordOf("c", 1))).commit();
  await records.prepare(recordOf("d", 4));
  await (await records.prepare(recordOf("e", 5))).discard();
  const { records: found, unreadable } = await records.list();
  assert.deepEqual(
    found.map(({ id }) => id),
    ["c", "b", "a"],
  );
  assert.deepEqual(unreadable, []);
  assert.deepEqual((await readdir(records.path)).sort(), ["a.json", "b.json", "c.json"]);
});

test("DeployRecords replaces and removes records", async () => {
  await using made = await bench();
  const { records } = made;
  await records.update(recordOf("a"));
  await records.update({ ...recordOf("a"), restarts: 3 });
  assert.equal((await records.list()).records[0]?.restarts, 3);
  await records.remove("a");
  await records.remove("a");
  assert.deepEqual((await records.list()).records, []);
});

test("DeployRecords names records that are torn, foreign or of a later version, and leaves them in place", async () => {
  await using made = await bench();
  const { records } = made;
  await records.update(recordOf("good"));
  const later = JSON.stringify({ ...recordOf("later"), version: 2 });
  for (const [name, text] of Object.entries({
    torn: '{"version":1,"id":"to',
    empty: "",
    later,
    other: JSON.stringify(recordOf("good")),
  })) {
    await writeFile(join(records.path, `${name}.json`), text);
  }
  await writeFile(join(records.path, "README"), "mine");
  const { records: found, unreadable } = await records.list();
  assert.deepEqual(
    found.map(({ id }) => id),
    ["good"],
  );
  assert.deepEqual(unreadable.map(({ id }) => id).sort(), ["empty", "later", "other", "torn"]);
  assert.match(unreadable.find(({ id }) => id === "later")?.reason ?? "", /version/);
  assert.equal((await readdir(records.path)).length, 6);
});
