import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readTree } from "./tree.ts";

test("readTree reads text files, and nothing that is installed, built, linked or binary", async (context) => {
  const root = await mkdtemp(join(tmpdir(), "nex-tree-"));
  context.after(() => rm(root, { recursive: true, force: true }));
  for (const folder of ["packages/a/src", "node_modules/b", "dist", ".git", ".ci"]) {
    await mkdir(join(root, folder), { recursive: true });
    await writeFile(join(root, folder, "file.ts"), "text");
  }
  await writeFile(join(root, "image"), Buffer.from([1, 0, 2]));
  await symlink("image", join(root, "link"));
  const tree = await readTree(root);
  assert.deepEqual([...tree.files.keys()], [".ci/file.ts", "packages/a/src/file.ts"]);
});
