/** The order in which a node changes its state directory, answers, and ends machines. A power loss shows no other one. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { startTestNatsServer, unmetSandboxRequirement } from "@nexengine/testing";
import { Victim } from "../support/victim.ts";
import { killPointPreload } from "./kill-points/settings.ts";
import { Story } from "./kill-points/story.ts";

const hasContainers = (await unmetSandboxRequirement("container")) === undefined;
const answer = "answered";
const write = ["open", "writeFile", "sync", "rename"].map((call) => `${call} deploys/ID.json.new`);
const remove = "rm deploys/ID.json";
const syncNames = "sync deploys";
/** A name takes longer to reach the disk than an answer to reach its client. */
const slow = { change: syncNames, ms: 300 };

/** The changes of a node that deploys three functions, stops one, and replaces one; with its answers. */
async function changesAndAnswers(): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "nex-order-"));
  const log = join(folder, "log");
  try {
    await using server = await startTestNatsServer();
    const sandbox = hasContainers ? "container" : "process";
    await using victim = new Victim({ server: server.url, sandbox, nodeLostTimeoutMs: 600_000 });
    victim.preload = killPointPreload({ directory: victim.directory, log, slow });
    const story = new Story(victim, server.url, undefined);
    story.answered = () => appendFileSync(log, `${answer}\n`);
    assert.ok(await story.run());
    return readFileSync(log, "utf8").split("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("a node changes its state in order:", () => {
  let changes: string[] = [];
  before(async () => {
    changes = await changesAndAnswers();
  });

  test("a record is on the disk before it has its name, and has its name before the deploy is answered", () => {
    const records = changes.filter((line) => line === answer || / deploys\b/.test(line));
    const deployed = [...write, syncNames, answer];
    const removed = [remove, syncNames];
    // The one that is replaced is removed before the new one is answered.
    const expected = [...deployed, ...deployed, ...removed, ...write, syncNames, ...removed, answer];
    const untilNextNode = records.filter((line) => line !== "mkdir deploys").slice(0, expected.length);
    assert.deepEqual(untilNextNode, expected);
  });

  test("no record gets its name before its content is on the disk", () => {
    const records = changes.filter((line) => / deploys\b/.test(line));
    for (const [at, line] of records.entries()) {
      if (line.startsWith("rename ")) assert.equal(records[at - 1], "sync deploys/ID.json.new");
    }
  });

  test("a record is removed before its machine is ended", {
    skip: !hasContainers && "needs containers",
  }, () => {
    const removed = changes.indexOf(remove);
    const ended = changes.indexOf("rm records/ID.json");
    assert.ok(removed > 0 && ended > changes.indexOf(syncNames, removed), `${removed}, ${ended}`);
  });
});
