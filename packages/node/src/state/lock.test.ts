import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { lockDirectory } from "./lock.ts";

const folder = await mkdtemp(join(tmpdir(), "nex-lock-"));
after(() => rm(folder, { recursive: true, force: true }));

test("lockDirectory keeps everybody else out until it is given back", async () => {
  const lock = await lockDirectory(folder);
  await assert.rejects(lockDirectory(folder), {
    code: "state_locked",
    message: `Cannot use the state directory "${folder}": another node uses it`,
  });
  await lock[Symbol.asyncDispose]();
  await using _again = await lockDirectory(folder);
});

test("lockDirectory knows a directory by whatever path", async () => {
  const other = join(folder, "other");
  await symlink(folder, other);
  await using _lock = await lockDirectory(folder);
  for (const path of [other, `${folder}/../${folder.split("/").at(-1)}`]) {
    await assert.rejects(lockDirectory(path), { code: "state_locked" });
  }
});

test("lockDirectory keeps directories apart", async () => {
  const second = await mkdtemp(join(folder, "second-"));
  await using _first = await lockDirectory(folder);
  await using _second = await lockDirectory(second);
});

/** A process that locks the folder, says so, and does some more. */
function holder(more: string): ReturnType<typeof spawn> {
  const lockModule = pathToFileURL(join(import.meta.dirname, "lock.ts")).href;
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(lockModule)});
    await lockDirectory(${JSON.stringify(folder)});
    process.stdout.write("locked");
    ${more}`;
  const flags = ["--conditions=nex-src", "--input-type=module", "--eval", script];
  return spawn(process.execPath, flags, { stdio: ["ignore", "pipe", "inherit"] });
}

test("lockDirectory takes what a process held that was killed", async () => {
  const killed = holder("setInterval(() => undefined, 1_000);");
  try {
    await once(killed.stdout as Readable, "data");
    await assert.rejects(lockDirectory(folder), { code: "state_locked" });
  } finally {
    killed.kill("SIGKILL");
    await once(killed, "exit");
  }
  await using _lock = await lockDirectory(folder);
});

test("lockDirectory keeps no process alive", async () => {
  const [status] = await once(holder(""), "exit");
  assert.equal(status, 0);
});
