import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { build } from "./build.ts";

test("build makes bundles that stand alone, dated to the begin of the build", async (context) => {
  const directory = await mkdtemp(join(tmpdir(), "nex-build-"));
  context.after(() => rm(directory, { recursive: true, force: true }));
  const startedAtMs = Date.now();
  const lines: string[] = [];
  const { agentPath, nexPath } = await build({ directory, report: (line) => lines.push(line) });

  assert.deepEqual([agentPath, nexPath], [join(directory, "agent.mjs"), join(directory, "nex.mjs")]);
  assert.equal(lines.length, 2);
  assert.deepEqual(
    (await readdir(directory)).filter((name) => name.endsWith(".tmp")),
    [],
  );
  const agent = await readFile(agentPath, "utf8");
  const outside = [...agent.matchAll(/^import .* from "([^"]+)"/gm)].map((match) => match[1] ?? "");
  assert.deepEqual(
    outside.filter((name) => !name.startsWith("node:")),
    [],
  );
  // The clock of files can be a tick behind.
  assert.ok(Math.abs((await stat(agentPath)).mtimeMs - startedAtMs) < 1000);
  await promisify(execFile)(process.execPath, ["--check", agentPath]);
});
