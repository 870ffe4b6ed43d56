/** Triggers on keys and objects against a real server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { startTestNexus } from "@nexengine/testing";
import { deployTeller, jetStreamOf, settled, Told } from "../support/triggered.ts";

test("each change of a key calls the function, with its key, operation and revision", async () => {
  await using nexus = await startTestNexus();
  const { connection } = nexus.client;
  const told = new Told(connection);
  const users = await new Kvm(jetstream(connection)).create("USERS");
  await users.put("a.old", "before");
  await deployTeller(nexus, [{ type: "kv", bucket: "USERS", keys: ["a.*"] }]);
  const revision = await users.put("a.one", "1");
  await users.put("b.one", "not this");
  await told.count(1);
  await users.delete("a.one");
  await told.count(2);
  await users.purge("a.one");
  const calls = await told.count(3);
  assert.deepEqual(
    calls.map(({ text, trigger: { bucket, key, operation } }) => [bucket, key, operation, text]),
    [
      ["USERS", "a.one", "put", "1"],
      ["USERS", "a.one", "delete", ""],
      ["USERS", "a.one", "purge", ""],
    ],
  );
  assert.equal(calls[0]?.trigger["revision"], revision);
});

test("a trigger on current values gets each key once, and no deletes where it wants none", async () => {
  await using nexus = await startTestNexus();
  const { connection } = nexus.client;
  const told = new Told(connection);
  const users = await new Kvm(jetstream(connection)).create("USERS", { history: 5 });
  for (const value of ["1", "2"]) for (const key of ["a", "b"]) await users.put(key, value);
  await users.delete("b");
  await users.put("c", "3");
  await deployTeller(nexus, [{ type: "kv", bucket: "USERS", from: "current", deletes: false }]);
  await told.count(2);
  await settled(await jetStreamOf(nexus.client), "KV_USERS", "nex_default_teller_kv");
  const seen = told.all.map(({ text, trigger }) => `${trigger["key"]}=${text}`);
  assert.deepEqual(seen.toSorted(), ["a=2", "c=3"]);
});

test("an object calls the function once it is whole, and when it is deleted", async () => {
  await using nexus = await startTestNexus();
  const { connection } = nexus.client;
  const told = new Told(connection);
  const uploads = await new Objm(jetstream(connection)).create("UPLOADS");
  await deployTeller(nexus, [{ type: "object", bucket: "UPLOADS" }]);
  const info = await uploads.putBlob({ name: "a file.txt" }, Buffer.alloc(300_000, 7));
  await told.count(1);
  await uploads.delete("a file.txt");
  const [put, deleted] = await told.count(2);
  const { bucket, operation, object } = put?.trigger ?? {};
  const { digest, nuid } = info;
  assert.deepEqual([bucket, operation], ["UPLOADS", "put"]);
  assert.deepEqual(object, { name: "a file.txt", size: 300_000, digest, nuid });
  assert.equal(deleted?.trigger["operation"], "delete");
});
