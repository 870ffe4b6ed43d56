import assert from "node:assert/strict";
import { mkdir, mkdtemp, open, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { findProgram } from "../host/program.ts";
import { findUnmetImageRequirement } from "../microvm/requirements.ts";
import { buildRootfsDirectory } from "./build.ts";
import type { Rootfs } from "./options.ts";
import { packSquashfs } from "./squashfs.ts";
import { verifyRootfs } from "./verify.ts";

const skip = (await findProgram("mksquashfs")) === undefined && "squashfs-tools is not on this host";

suite("a squashfs image", { skip }, () => {
  let directory = "";
  let tree: Rootfs;
  const make = (output: string): Promise<Rootfs> =>
    buildRootfsDirectory({
      output: join(directory, output),
      agentPath: join(directory, "agent.mjs"),
      base: join(directory, "base"),
    });
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "nex-squashfs-"));
    await writeFile(join(directory, "agent.mjs"), "console.log(1);\n");
    for (const place of ["/usr/bin/[", "/opt/a file", "/opt/a -> b"]) {
      await mkdir(dirname(join(directory, "base", place)), { recursive: true });
      await writeFile(join(directory, "base", place), place);
    }
    await mkdir(join(directory, "base/var/empty"), { recursive: true });
    await symlink("../../opt/a file", join(directory, "base/usr/bin/link"));
    tree = await make("one");
  });
  after(() => rm(directory, { recursive: true, force: true }));

  test("is the same bytes for the same manifest, and verify finds it whole", async () => {
    const first = await packSquashfs(tree, join(directory, "first.squashfs"));
    const second = await packSquashfs(await make("two"), join(directory, "second.squashfs"));
    assert.ok((await readFile(first.path)).equals(await readFile(second.path)));
    const { manifest, differences } = await verifyRootfs(first.path);
    assert.deepEqual(differences, []);
    assert.deepEqual(manifest, JSON.parse(JSON.stringify(tree.manifest)));
    assert.equal(await findUnmetImageRequirement(first.path), undefined);
  });

  test("that was changed, cut off or is none at all is told by verify", async () => {
    const { path, bytes } = await packSquashfs(tree, join(directory, "changed.squashfs"));
    {
      await using file = await open(path, "r+");
      const agent = (await readFile(path)).indexOf("console.log(1);\n");
      await file.write("console.log(2);\n", agent);
    }
    assert.deepEqual((await verifyRootfs(path)).differences, ["/usr/lib/nex/agent.mjs has another content"]);
    await truncate(path, bytes / 2);
    await assert.rejects(verifyRootfs(path), { code: "rootfs_failed", message: /damaged/ });
    await writeFile(path, "hsqs");
    await assert.rejects(verifyRootfs(path), { code: "rootfs_failed", message: /damaged/ });
  });

  test("leaves nothing where it can't be written", async () => {
    const place = join(directory, "taken");
    await mkdir(join(place, "in the way"), { recursive: true });
    await assert.rejects(packSquashfs(tree, place), {
      code: "rootfs_failed",
      message: /Cannot write the image/,
    });
  });
});

test("findUnmetImageRequirement tells what is no image of a known form", async () => {
  const directory = await mkdtemp(join(tmpdir(), "nex-image-"));
  try {
    const path = join(directory, "image");
    assert.match((await findUnmetImageRequirement(path))?.reason ?? "", /is not there/);
    for (const content of ["", "hsq", "squashfs".repeat(400)]) {
      await writeFile(path, content);
      assert.match(
        (await findUnmetImageRequirement(path))?.reason ?? "",
        /neither an ext4 nor a squashfs image/,
      );
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
