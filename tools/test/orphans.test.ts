import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { orphans } from "./orphans.ts";

const skip = process.platform !== "linux";

test("orphans finds processes by environment, command line and folder, until they end", {
  skip,
}, async (context) => {
  const directory = await mkdtemp(join(tmpdir(), "nex-orphans-"));
  context.after(() => rm(directory, { recursive: true, force: true }));
  const mark = { environment: "NEX_TEST_MARK=abc", directory };
  const wait = ["-e", "setTimeout(() => {}, 30_000)"];
  const bare = { PATH: process.env.PATH };
  const children = [
    spawn(process.execPath, wait, { env: { ...bare, NEX_TEST_MARK: "abc" } }),
    spawn(process.execPath, [...wait, `${directory}/x`], { env: bare }),
    spawn(process.execPath, wait, { env: bare, cwd: directory }),
    spawn(process.execPath, wait, { env: { ...bare, NEX_TEST_MARK: "abcd" } }),
  ];
  context.after(() => Promise.all(children.map(end)));
  await Promise.all(children.map((child) => once(child, "spawn")));

  const pids = children.slice(0, 3).map(({ pid }) => pid);
  const found = await orphans(mark, 0);
  assert.deepEqual(found.map(({ pid }) => pid).sort(), pids.sort());
  assert.match(found[0]?.command ?? "", /setTimeout/);

  const ending = orphans(mark, 10_000);
  await Promise.all(children.map(end));
  assert.deepEqual(await ending, []);
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}
