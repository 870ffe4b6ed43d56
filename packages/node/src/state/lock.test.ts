import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
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

/** A process that locks the folder, says so, and does some more; `before` is a program that starts it. */
function holder(more: string, before: readonly string[] = []): ReturnType<typeof spawn> {
  const lockModule = pathToFileURL(join(import.meta.dirname, "lock.ts")).href;
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(lockModule)});
    await lockDirectory(${JSON.stringify(folder)});
    process.stdout.write("locked");
    ${more}`;
  const flags = ["--conditions=nex-src", "--input-type=module", "--eval", script];
  const [program = process.execPath, ...args] = [...before, process.execPath, ...flags];
  return spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
}

const otherNetwork = ["unshare", "--net"];
const canUnshare = spawnSync("unshare", ["--net", "true"]).status === 0;
const skip = canUnshare ? false : "only root can make a network namespace here";

test("lockDirectory keeps out a process of another network namespace, as another container has", {
  skip,
}, async () => {
  const other = holder("setInterval(() => undefined, 1_000);", otherNetwork);
  try {
    await once(other.stdout as Readable, "data");
    await assert.rejects(lockDirectory(folder), { code: "state_locked" });
  } finally {
    other.kill("SIGKILL");
    await once(other, "exit");
  }
  await using _lock = await lockDirectory(folder);
});

test("lockDirectory lets one of many have what a killed process held", { skip }, async () => {
  const killed = holder("setInterval(() => undefined, 1_000);", otherNetwork);
  await once(killed.stdout as Readable, "data");
  killed.kill("SIGKILL");
  await once(killed, "exit");
  const rivals = Array.from({ length: 4 }, () =>
    holder("setInterval(() => undefined, 1_000);", otherNetwork),
  );
  try {
    const outcomes = rivals.map((rival) =>
      Promise.race([
        once(rival.stdout as Readable, "data").then(() => "locked"),
        once(rival, "exit").then(() => "refused"),
      ]),
    );
    assert.deepEqual((await Promise.all(outcomes)).sort(), ["locked", "refused", "refused", "refused"]);
  } finally {
    for (const rival of rivals) {
      const ended = rival.exitCode === null ? once(rival, "exit") : undefined;
      rival.kill("SIGKILL");
      await ended;
    }
  }
});

test("lockDirectory locks a directory whose path is longer than that of a socket", async () => {
  const long = join(folder, "x".repeat(120));
  await mkdir(long);
  await using _lock = await lockDirectory(long);
  await assert.rejects(lockDirectory(long), { code: "state_locked" });
});

test("lockDirectory leaves nothing in the directory when it is given back", async () => {
  const empty = await mkdtemp(join(folder, "empty-"));
  const lock = await lockDirectory(empty);
  await assert.rejects(lockDirectory(empty), { code: "state_locked" });
  assert.deepEqual(await readdir(empty), ["lock"]);
  await lock[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(empty), []);
});

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

test("lockDirectory removes the sockets of processes that died while they took the lock, and no other file", async () => {
  const directory = await mkdtemp(join(folder, "died-"));
  const [dead, alive, aside] = ["lock.0123456789ab", "lock.ba9876543210", "lock.0123456789ab.stale"] as const;
  const script = `
    const { createServer } = await import("node:net");
    for (const name of [${JSON.stringify(dead)}, ${JSON.stringify(aside)}])
      await new Promise((done) => createServer().listen(${JSON.stringify(`${directory}/`)} + name, done));
    process.kill(process.pid, "SIGKILL");`;
  spawnSync(process.execPath, ["--input-type=module", "--eval", script]);
  const server = createServer().listen(join(directory, alive));
  await once(server, "listening");
  await writeFile(join(directory, "lock.txt"), "");
  assert.deepEqual((await readdir(directory)).sort(), [dead, aside, alive, "lock.txt"]);
  await using _lock = await lockDirectory(directory);
  assert.deepEqual((await readdir(directory)).sort(), ["lock", alive, "lock.txt"]);
  server.close();
});
