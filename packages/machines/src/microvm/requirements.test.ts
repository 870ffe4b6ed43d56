import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, beforeEach, suite, test } from "node:test";
import { bootFilesIn } from "../rootfs/boot-manifest.ts";
import {
  findUnmetBootFilesRequirement,
  findUnmetImageRequirement,
  findUnmetSpaceRequirement,
} from "./requirements.ts";

const directory = await mkdtemp(join(tmpdir(), "nex-requirements-"));
const boot = bootFilesIn(directory);
const elfHead = Buffer.from("7f454c4602010100000000000000000002003e0000000000", "hex");
const armHead = Buffer.from(elfHead).fill(183, 18, 19);

suite("requirements of microVMs", () => {
  after(() => rm(directory, { recursive: true, force: true }));
  beforeEach(async () => {
    await mkdir(dirname(boot.kernel), { recursive: true });
    await writeFile(boot.kernel, elfHead);
    await writeFile(boot.initramfs, "070701 and so on");
  });

  test("include an intact kernel and initramfs for this architecture", async () => {
    assert.equal(await findUnmetBootFilesRequirement(boot), undefined);
    await writeFile(boot.kernel, armHead);
    assert.match(
      (await findUnmetBootFilesRequirement(boot))?.reason ?? "",
      /vmlinux" is a kernel for another architecture/,
    );
    await writeFile(boot.kernel, Buffer.alloc(100));
    assert.match((await findUnmetBootFilesRequirement(boot))?.reason ?? "", /vmlinux" is damaged/);
    await writeFile(boot.kernel, elfHead);
    await writeFile(boot.initramfs, "");
    const unmet = await findUnmetBootFilesRequirement(boot);
    assert.match(unmet?.reason ?? "", /initramfs" is damaged/);
    assert.match(unmet?.advice ?? "", /^Run: nex rootfs /);
    await rm(boot.initramfs);
    assert.match((await findUnmetBootFilesRequirement(boot))?.reason ?? "", /initramfs" is not there/);
  });

  test("include an image of the size in its superblock", async () => {
    const path = join(directory, "image");
    const ext4 = Buffer.alloc(16_384);
    ext4.writeUInt32LE(16, 0x404);
    ext4.writeUInt16LE(0xef53, 0x438);
    await writeFile(path, ext4);
    assert.equal(await findUnmetImageRequirement(path), undefined);
    await writeFile(path, ext4.subarray(0, 8_192));
    assert.match((await findUnmetImageRequirement(path))?.reason ?? "", /image" is cut off/);
  });

  test("include space in a state directory that can be created", async () => {
    const stateDirectory = join(directory, "state");
    assert.equal(await findUnmetSpaceRequirement({ stateDirectory, memoryBytesDefault: 1 }), undefined);
    const full = await findUnmetSpaceRequirement({ stateDirectory, memoryBytesDefault: 2 ** 60 });
    assert.match(full?.reason ?? "", /state" has \d+ MiB free, but templates need 1099511627776 MiB/);
    const nowhere = await findUnmetSpaceRequirement({
      stateDirectory: join(boot.kernel, "state"),
      memoryBytesDefault: 1,
    });
    assert.match(nowhere?.reason ?? "", /can't be created \(ENOTDIR\)/);
  });
});
