import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { suite, test } from "node:test";
import { rejectsWith } from "@nexengine/testing/internal";
import { ownableDirectory } from "./machine-directory.ts";
import { cleanUpOrphans } from "./orphans.ts";
import { removeTree } from "./remove-tree.ts";

const nobody = 65534;

async function makeDirectory(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "nex-directories-"));
}

suite("removeTree", () => {
  test("removes unreadable directories, and does not follow links", async () => {
    const directory = await makeDirectory();
    const kept = await makeDirectory();
    await writeFile(join(kept, "file"), "");
    await mkdir(join(directory, "a", "b"), { recursive: true });
    await symlink(kept, join(directory, "link"));
    await writeFile(join(directory, "a", "b", "file"), "");
    for (const name of ["a/b/file", "a/b", "a", ""]) {
      if (process.getuid?.() === 0) await chown(join(directory, name), nobody, nobody);
      if (name !== "" && name !== "a/b/file") await chmod(join(directory, name), 0);
    }
    await asNobody(directory);
    await removeTree(directory);
    assert.equal(existsSync(directory), false);
    assert.equal(existsSync(join(kept, "file")), true);
    await rm(kept, { recursive: true });
  });

  test("succeeds if the directory does not exist", async () => {
    await removeTree("/nowhere/at/all");
  });
});

/** Removes the directory as another user first, because root can read everything. */
async function asNobody(directory: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const script = `process.setgid(${nobody}); process.setuid(${nobody});
    const { removeTree } = await import(${JSON.stringify(new URL("./remove-tree.ts", import.meta.url).href)});
    await removeTree(${JSON.stringify(join(directory, "a"))});`;
  const args = [...process.execArgv, "--input-type=module", "-e", script];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  assert.deepEqual(await once(child, "exit"), [0, null]);
  assert.equal(existsSync(join(directory, "a")), false);
}

suite("ownableDirectory", () => {
  test("is undefined for a directory that this process needs", async () => {
    for (const place of [
      "/",
      process.cwd(),
      dirname(process.execPath),
      tmpdir(),
      "relative",
      "/nowhere",
      "/etc/passwd",
    ]) {
      assert.equal(await ownableDirectory(place), undefined, place);
    }
  });

  test("is the real path of any other directory", async () => {
    const directory = await makeDirectory();
    await mkdir(join(directory, "real"));
    await symlink(join(directory, "real"), join(directory, "link"));
    assert.equal(await ownableDirectory(join(directory, "link")), join(directory, "real"));
    await rm(directory, { recursive: true });
  });
});

suite("cleanUpOrphans", () => {
  test("refuses a directory that no machine can own", async () => {
    await rejectsWith(cleanUpOrphans("/"), "destroy_failed");
  });

  test("succeeds if the directory does not exist", async () => {
    await cleanUpOrphans("/nowhere/at/all");
  });
});
