import assert from "node:assert/strict";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { findProgram } from "../host/program.ts";
import { buildRootfsDirectory } from "./build.ts";
import { packExt4 } from "./ext4.ts";
import type { Rootfs } from "./options.ts";
import { verifyRootfs } from "./verify.ts";

const lacksTools =
  (await findProgram("/usr/sbin/debugfs")) === undefined && (await findProgram("debugfs")) === undefined;
const skip = lacksTools && "e2fsprogs is not on this host";

suite("an ext4 image", { skip }, () => {
  let directory = "";
  let tree: Rootfs;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "nex-ext4-"));
    const agentPath = join(directory, "agent.mjs");
    await writeFile(agentPath, "console.log(1);\n");
    tree = await buildRootfsDirectory({ output: join(directory, "one"), agentPath });
  });
  after(() => rm(directory, { recursive: true, force: true }));

  test("is the same bytes for the same manifest, wherever and whenever it was built", async () => {
    const first = await packExt4(tree, join(directory, "first.ext4"));
    const other = await buildRootfsDirectory({
      output: join(directory, "two"),
      agentPath: join(directory, "agent.mjs"),
    });
    const second = await packExt4(other, join(directory, "second.ext4"));
    assert.equal(second.bytes, first.bytes);
    assert.ok((await readFile(first.path)).equals(await readFile(second.path)));
    const { manifest, differences } = await verifyRootfs(first.path);
    assert.deepEqual(differences, []);
    assert.equal(manifest.digest, tree.manifest.digest);
  });

  test("has the size that was asked for, and is refused where the tree does not fit", async () => {
    const path = join(directory, "sized.ext4");
    assert.equal((await packExt4(tree, path, 402_653_184)).bytes, 402_653_184);
    const small = packExt4(tree, join(directory, "small.ext4"), 16_777_216);
    await assert.rejects(small, { code: "rootfs_failed", message: /16 MiB is too small/ });
    await assert.rejects(readFile(join(directory, "small.ext4")), { code: "ENOENT" });
  });

  test("whose files were changed is told by verify", async () => {
    const { path } = await packExt4(tree, join(directory, "changed.ext4"));
    const bytes = await readFile(path);
    await using file = await open(path, "r+");
    await file.write("console.log(2);\n", bytes.indexOf("console.log(1);\n"));
    assert.deepEqual((await verifyRootfs(path)).differences, ["/usr/lib/nex/agent.mjs has another content"]);
  });

  test("that is damaged, cut off or none at all is refused by verify", async () => {
    const { path, bytes } = await packExt4(tree, join(directory, "damaged.ext4"));
    await using file = await open(path, "r+");
    await file.truncate(bytes / 2);
    await assert.rejects(verifyRootfs(path), { code: "rootfs_failed", message: /damaged/ });
    await file.truncate(0);
    await assert.rejects(verifyRootfs(path), { code: "rootfs_failed", message: /damaged/ });
    await assert.rejects(verifyRootfs(join(directory, "none")), {
      code: "rootfs_failed",
      message: /not there/,
    });
  });
});

test("verifyRootfs names what is missing, changed or too much in a directory", async () => {
  const directory = await mkdtemp(join(tmpdir(), "nex-verify-"));
  try {
    const agentPath = join(directory, "agent.mjs");
    await writeFile(agentPath, "console.log(1);\n");
    const tree = await buildRootfsDirectory({ output: join(directory, "trees"), agentPath });
    assert.deepEqual((await verifyRootfs(tree.directory)).differences, []);
    await rm(join(tree.directory, "/etc/group"));
    await writeFile(join(tree.directory, "/etc/hosts"), "127.0.0.1 localhos1\n::1 localhost\n");
    await writeFile(join(tree.directory, "/etc/shadow"), "");
    assert.deepEqual((await verifyRootfs(tree.directory)).differences, [
      "/etc/group is missing",
      "/etc/hosts has another content",
      "/etc/shadow is in no manifest",
    ]);
    await assert.rejects(verifyRootfs(directory), { code: "rootfs_failed", message: /no manifest/ });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
