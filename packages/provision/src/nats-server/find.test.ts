import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { compareVersions } from "../program.ts";
import { findNatsServer } from "./find.ts";

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "nex-find-"));
});
after(() => rm(directory, { recursive: true, force: true }));

/** A program that says what it is told to say. */
async function programAt(path: string, says: string): Promise<string> {
  const full = join(directory, path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, `#!/bin/sh\necho '${says}'\n`);
  await chmod(full, 0o755);
  return full;
}

test("findNatsServer prefers the path given, then NEX_NATS_SERVER, then PATH, then the newest in the cache", async () => {
  const given = await programAt("given/server", "nats-server: v2.14.0");
  const named = await programAt("named/server", "nats-server: v2.13.0");
  const onPath = await programAt("bin/nats-server", "nats-server: v2.12.0");
  await programAt("cache/nats-server-2.9.25/nats-server", "nats-server: v2.9.25");
  const newest = await programAt("cache/nats-server-2.11.1/nats-server", "nats-server: v2.11.1");
  const cacheDirectory = join(directory, "cache");
  const PATH = `${join(directory, "nowhere")}:${dirname(onPath)}`;
  const find = (env: NodeJS.ProcessEnv, path?: string) => findNatsServer({ path, cacheDirectory, env });

  assert.deepEqual(await find({ NEX_NATS_SERVER: named, PATH }, given), {
    path: given,
    version: "2.14.0",
    origin: "option",
  });
  assert.deepEqual(await find({ NEX_NATS_SERVER: named, PATH }), {
    path: named,
    version: "2.13.0",
    origin: "environment",
  });
  assert.deepEqual(await find({ PATH }), { path: onPath, version: "2.12.0", origin: "path" });
  assert.deepEqual(await find({ PATH: "" }), { path: newest, version: "2.11.1", origin: "cache" });
});

test("findNatsServer finds nothing where there is nothing", async () => {
  const cacheDirectory = join(directory, "nowhere");
  assert.equal(await findNatsServer({ cacheDirectory, env: { PATH: "" } }), undefined);
});

test("findNatsServer refuses a given one that is too old, missing, or another program", async () => {
  const cacheDirectory = join(directory, "nowhere");
  const old = await programAt("old/nats-server", "nats-server: v2.8.4");
  await assert.rejects(findNatsServer({ path: old, cacheDirectory }), {
    code: "nats_server_too_old",
    message: `Cannot use nats-server "${old}": it is version 2.8.4, and 2.9.0 or later is needed; upgrade it or give the path of a newer one`,
  });
  const missing = join(directory, "missing");
  await assert.rejects(findNatsServer({ cacheDirectory, env: { NEX_NATS_SERVER: missing } }), {
    code: "nats_server_missing",
    message: /there is no program that can be run/,
  });
  const other = await programAt("other/nats-server", "hello");
  await assert.rejects(findNatsServer({ path: other, cacheDirectory }), { message: /it is another program/ });
});

test("findNatsServer passes over an old one on PATH and says so", async () => {
  const old = await programAt("old/nats-server", "nats-server: v2.8.4");
  const cached = await programAt("second-cache/nats-server-2.11.1/nats-server", "nats-server: v2.11.1");
  const lines: string[] = [];
  const found = await findNatsServer({
    cacheDirectory: join(directory, "second-cache"),
    env: { PATH: dirname(old) },
    report: (line) => lines.push(line),
  });
  assert.equal(found?.path, cached);
  assert.match(lines.join("\n"), /^Passed over nats-server ".*old\/nats-server": it is version 2\.8\.4/);
});

test("compareVersions compares numbers, not text", () => {
  assert.ok(compareVersions("2.10.0", "2.9.25") > 0);
  assert.ok(compareVersions("2.9.0", "2.10.0") < 0);
  assert.equal(compareVersions("2.9.0-beta.1", "2.9.0"), 0);
});
