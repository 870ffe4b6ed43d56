import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildBootFiles } from "./boot-files.ts";
import { bootFilesIn, bootManifestPath, findBootFiles, verifyBootFiles } from "./boot-manifest.ts";
import { cpioArchive } from "./cpio.ts";

const version = "6.1.0-test";

function uint32(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}

/** The header of a kernel, and what it unpacks behind two sectors. */
function kernelWith(payload: Buffer): Buffer {
  const kernel = Buffer.alloc(1024);
  kernel.writeUInt8(1, 0x1f1);
  kernel.write("HdrS", 0x202);
  kernel.writeUInt16LE(1, 0x236);
  kernel.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([kernel, payload]);
}

/** A tree with the header of a kernel and modules that say what they need. */
async function makeTree(root: string, modules: Record<string, string>): Promise<void> {
  const put = async (place: string, content: string | Buffer): Promise<void> => {
    await mkdir(dirname(join(root, place)), { recursive: true });
    await writeFile(join(root, place), content);
  };
  await put(`boot/vmlinuz-${version}`, kernelWith(gzipSync(Buffer.from("\x7fELF of a kernel", "latin1"))));
  await put(`lib/modules/${version}/modules.builtin`, "kernel/fs/ext4/ext4.ko\n");
  for (const [name, needs] of Object.entries(modules)) {
    await put(
      `lib/modules/${version}/kernel/drivers/${name}.ko`,
      `\0license=GPL\0depends=${needs}\0name=${name}\0`,
    );
  }
  // A static program: the header of an ELF file without a table.
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  await put("busybox", header);
}

const modules = {
  virtio: "",
  virtio_ring: "",
  "virtio-pci-lib": "",
  virtio_pci: "virtio-pci-lib,virtio,virtio_ring",
  virtio_mmio: "virtio,virtio_ring",
  virtio_blk: "virtio",
  virtio_console: "virtio",
  "virtio-rng": "virtio",
  failover: "",
  net_failover: "failover",
  virtio_net: "virtio,net_failover",
  vsock: "",
  vmw_vsock_virtio_transport: "vsock,virtio",
  lz4_decompress: "",
  squashfs: "lz4_decompress",
};

async function withTree(act: (root: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "nex-kernel-"));
  try {
    await makeTree(root, modules);
    await act(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

test("buildBootFiles writes a kernel, and an initramfs with its modules in the order of their needs", async () => {
  await withTree(async (root) => {
    const files = { kernel: join(root, "out/vmlinuz"), initramfs: join(root, "out/initramfs") };
    const sources = { kernel: root, busybox: join(root, "busybox") };
    const first = await buildBootFiles(sources, files);
    assert.equal(first.version, version);
    assert.equal(await readFile(files.kernel, "latin1"), "\x7fELF of a kernel");
    const archive = (await readFile(files.initramfs)).toString("latin1");
    const order = [...archive.matchAll(/lib\/modules\/\d\d-(\w+)\.ko/g)].map(([, name]) => name);
    assert.deepEqual(order, [
      ...[
        "virtio_pci_lib",
        "virtio",
        "virtio_ring",
        "virtio_pci",
        "virtio_mmio",
        "virtio_blk",
        "virtio_console",
        "virtio_rng",
        "failover",
        "net_failover",
        "virtio_net",
        "vsock",
        "vmw_vsock_virtio_transport",
        "lz4_decompress",
        "squashfs",
      ],
    ]);
    assert.deepEqual(await buildBootFiles(sources, files), first);
  });
});

test("buildBootFiles refuses a kernel that was not unpacked as a whole", async () => {
  await withTree(async (root) => {
    const files = { kernel: join(root, "out/vmlinuz"), initramfs: join(root, "out/initramfs") };
    const text = "\x7fELF of a kernel";
    // The legacy form of LZ4: one block of literals, and the size behind it.
    const packed = (bytes: number): Buffer => {
      const block = Buffer.from(`\xf0${String.fromCharCode(text.length - 15)}${text}`, "latin1");
      const numbers = [0x184c2102, block.length].map(uint32);
      return Buffer.concat([...numbers, block, uint32(bytes)]);
    };
    const kernel = join(root, `boot/vmlinuz-${version}`);
    const sources = { kernel: root, busybox: join(root, "busybox") };
    await writeFile(kernel, kernelWith(packed(text.length)));
    await buildBootFiles(sources, files);
    assert.equal(await readFile(files.kernel, "latin1"), text);
    await writeFile(kernel, kernelWith(packed(text.length + 1)));
    const refusal = { code: "rootfs_failed", message: /has 16 bytes instead of 17/ };
    await assert.rejects(buildBootFiles(sources, files), refusal);
  });
});

test("verifyBootFiles tells of every difference between boot files and their manifest", async () => {
  await withTree(async (root) => {
    const files = bootFilesIn(join(root, "out"));
    await buildBootFiles({ kernel: root, busybox: join(root, "busybox") }, files);
    assert.deepEqual(await verifyBootFiles(files), []);
    assert.deepEqual(findBootFiles(join(root, "out/tree")), files);
    const bytes = await readFile(files.kernel);
    bytes[9] = (bytes[9] ?? 0) ^ 1;
    await writeFile(files.kernel, bytes);
    assert.deepEqual(await verifyBootFiles(files), [`${files.kernel} has another content`]);
    await writeFile(files.kernel, bytes.subarray(1));
    assert.deepEqual(await verifyBootFiles(files), [`${files.kernel} has 15 bytes instead of 16`]);
    await rm(files.initramfs);
    assert.deepEqual((await verifyBootFiles(files))[1], `${files.initramfs} can't be read: ENOENT`);
    await rm(bootManifestPath(files));
    assert.match((await verifyBootFiles(files)).join(), /has no manifest/);
  });
});

test("buildBootFiles says what is missing or unfit", async () => {
  await withTree(async (root) => {
    const files = { kernel: join(root, "out/vmlinuz"), initramfs: join(root, "out/initramfs") };
    const busybox = join(root, "busybox");
    const refused = async (sources: { kernel: string; busybox: string }, message: RegExp): Promise<void> => {
      await assert.rejects(buildBootFiles(sources, files), { code: "rootfs_failed", message });
    };
    await refused({ kernel: join(root, "none"), busybox }, /not there/);
    await refused({ kernel: join(root, "out"), busybox }, /not there/);
    await refused({ kernel: join(root, "lib"), busybox }, /no "boot\/vmlinuz/);
    await refused({ kernel: root, busybox: process.execPath }, /not static/);
    await rm(join(root, `lib/modules/${version}/kernel/drivers/virtio_blk.ko`));
    await refused({ kernel: root, busybox }, /"virtio_blk" is missing/);
    await writeFile(join(root, `boot/vmlinuz-${version}`), kernelWith(Buffer.from("unpacked already")));
    await refused({ kernel: root, busybox }, /can't be unpacked: it is compressed, and neither/);
    await writeFile(join(root, `boot/vmlinuz-${version}`), "none");
    await refused({ kernel: root, busybox }, /no Linux kernel/);
  });
});

test("cpioArchive aligns headers and contents, and ends with the trailer", () => {
  const archive = cpioArchive([{ path: "init", mode: 0o100755, data: Buffer.from("abcde") }]);
  assert.equal(archive.length % 4, 0);
  assert.equal(archive.toString("latin1", 0, 22), "07070100000001000081ED");
  assert.equal(archive.toString("latin1", 110, 115), "init\0");
  assert.equal(archive.toString("latin1", 116, 121), "abcde");
  assert.match(archive.toString("latin1"), /TRAILER!!!\0+$/);
});
