import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeFifos } from "./fifo.ts";

const folder = await mkdtemp(join(tmpdir(), "nex-fifo-"));
after(() => rm(folder, { recursive: true }));

async function modeOf(name: string): Promise<string> {
  const found = await stat(join(folder, name));
  return `${found.isFIFO()} ${(found.mode & 0o777).toString(8)}`;
}

test("makeFifos makes those that are asked for at once, each with its mode", async () => {
  const paths = Array.from({ length: 100 }, (_, at) => [join(folder, `a${at}`), join(folder, `b${at}`)]);
  await Promise.all(paths.map((two, at) => makeFifos(two, at % 2 === 0 ? 0o666 : 0o600)));
  assert.deepEqual(await Promise.all(["a0", "b0", "a1", "b99"].map(modeOf)), [
    "true 666",
    "true 666",
    "true 600",
    "true 600",
  ]);
});

test("makeFifos fails for a path that exists, and for nobody else who asked at the same time", async () => {
  await writeFile(join(folder, "file"), "");
  const results = await Promise.allSettled(
    ["x", "file", "y"].map((name) => makeFifos([join(folder, name)], 0o600)),
  );
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.deepEqual(await Promise.all(["x", "y"].map(modeOf)), ["true 600", "true 600"]);
});
