import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { makeContainerDriver, prepareContainers } from "@nexengine/testing/internal";
import type { ContainerDriverOptions } from "./options.ts";

const containers = await prepareContainers();
after(() => containers[Symbol.asyncDispose]());

async function unmetRequirement(
  change: Partial<ContainerDriverOptions>,
): Promise<{ reason: string; advice: string }> {
  const fingerprint = await makeContainerDriver(change).fingerprint();
  return fingerprint.available ? assert.fail("Nothing is missing") : fingerprint;
}

suite("fingerprint of the container driver", { skip: containers.unmetRequirement ?? false }, () => {
  test("reports how machines are confined, and cleans up its probe", async () => {
    const fingerprint = await makeContainerDriver().fingerprint();
    assert.ok(fingerprint.available);
    assert.match(fingerprint.details["trial"] ?? "", /^\d+ ms$/);
    const { stateDirectory } = containers.options;
    assert.deepEqual((await readdir(stateDirectory)).sort(), ["ranges", "runtime"]);
    assert.deepEqual(await readdir(join(stateDirectory, "ranges")), []);
  });

  test("says how to install a missing runtime", async () => {
    const known = await unmetRequirement({ runtime: "/nowhere/runc" });
    assert.match(known.reason, /"\/nowhere\/runc" is not installed/);
    assert.match(known.advice, /name another OCI runtime/);
  });

  test("quotes the error of a broken runtime", async () => {
    const { reason, advice } = await unmetRequirement({ runtime: "false" });
    assert.match(reason, /the probe failed.*false exited with 1/);
    assert.match(advice, /another sandbox/);
  });

  test("says what is missing in a rootfs", async () => {
    assert.match(
      (await unmetRequirement({ rootfs: "/nowhere" })).reason,
      /the rootfs "\/nowhere" has no program/,
    );
    const { reason } = await unmetRequirement({ command: ["/usr/bin/perl"] });
    assert.match(reason, /has no program "\/usr\/bin\/perl"/);
  });

  test("names the directory through which unprivileged users can't reach the rootfs", async () => {
    const closed = await mkdtemp(join(tmpdir(), "nex-closed-"));
    const program = join(closed, "rootfs", "program");
    await mkdir(join(closed, "rootfs"));
    await writeFile(program, "");
    await chmod(program, 0o755);
    try {
      const { reason, advice } = await unmetRequirement({
        rootfs: join(closed, "rootfs"),
        command: ["/program"],
      });
      assert.match(reason, new RegExp(`through "${closed}"`));
      assert.match(advice, /every user of the host/);
    } finally {
      await rm(closed, { recursive: true });
    }
  });
});
