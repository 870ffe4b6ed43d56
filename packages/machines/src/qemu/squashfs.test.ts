import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { buildContractTree, prepareQemu, qemuAbilities, TestMachine } from "@nexengine/testing/internal";
import { findProgram } from "../host/program.ts";
import { packSquashfs } from "../rootfs/squashfs.ts";
import { QemuDriver } from "./driver.ts";

const program = await findProgram("mksquashfs");

test("a machine boots a squashfs image with a base and correct links", {
  skip: program === undefined && "squashfs-tools is not on this host",
}, async (context) => {
  await using microVms = await prepareQemu();
  if (microVms.unmetRequirement !== undefined) return context.skip(microVms.unmetRequirement);
  const directory = await mkdtemp(join(tmpdir(), "nex-squashfs-guest-"));
  try {
    const base = join(directory, "base");
    await mkdir(join(base, "opt"), { recursive: true });
    await writeFile(join(base, "opt/words"), "of the base");
    await symlink("/opt/words", join(base, "link"));
    const { path: image } = await packSquashfs(
      await buildContractTree(directory, base),
      join(directory, "guest.squashfs"),
    );
    const driver = new QemuDriver({ ...microVms.options, image });
    await using machine = await TestMachine.ready(driver, qemuAbilities);
    assert.match(JSON.parse(await machine.ask("read /proc/mounts")), /^\/dev\/vda \/ squashfs ro,/m);
    assert.equal(JSON.parse(await machine.ask("read /link")), "of the base");
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
