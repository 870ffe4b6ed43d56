/**
 * A host with a working KVM, emulated: an outer guest of QEMU whose processor has AMD's virtualization, in software. It
 * is slow, and the only place for a real Firecracker where KVM does not work.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { chmod, copyFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type BootPackages, MachineError } from "@nexengine/machines";
import {
  cpioArchive,
  findKernel,
  findLibraries,
  runProgram,
  unpackPackage,
} from "@nexengine/machines/internal";
import { hostApplets, hostInit } from "./init.ts";

const toolTimeoutMs = 120_000;
/** The host gives only the memory that is in use. */
const memoryMebibytes = 6_144;
/** With two, emulated virtualization damages its kernel now and then. */
const processors = 1;
const pollMs = 200;
/** It does not find out whether its timer works, and panic where that was slow. */
const kernelArguments = [
  ...["console=ttyS0", "quiet", "reboot=k", "panic=-1", "mitigations=off", "audit=0", "no_timer_check"],
];
const modules = [
  ...["virtio_pci", "virtio_blk", "virtio_console", "ext4", "kvm_amd", "tun", "veth"],
  ...["nf_tables", "nft_ct", "nft_connlimit", "nft_reject_inet", "nft_chain_nat", "nft_masq"],
];
const directoryMode = 0o40755;
const programMode = 0o100755;
const fileMode = 0o100644;
const linkMode = 0o120777;
const deviceMode = 0o20600;
const mountPoints = ["proc", "sys", "dev", "tmp", "run", "etc", "bin"];
const endForm = /\[the command ended with (\d+)\]\s*$/;

/** Options of an emulated host. */
export interface EmulatedHostOptions {
  packages: BootPackages;
  /** Files and directories of this host, by their places there. */
  files: Readonly<Record<string, string>>;
  /** Symbolic links: their targets, by their places. */
  links?: Readonly<Record<string, string>>;
  /** A script for its shell. */
  command: string;
  /** The whole run, its boot included. */
  timeoutMs: number;
  /** Hears what the command writes, as it comes. */
  onOutput?: (text: string) => void;
}

/** How a command ended. */
export interface EmulatedRun {
  /** `undefined` when it did not end in time. */
  status: number | undefined;
  output: string;
  /** The output of the host's kernel. */
  console: string;
}

/**
 * Boots an emulated host, runs a command in it, and removes it.
 *
 * @throws NexError when it can't be made.
 */
export async function runInEmulatedHost(options: EmulatedHostOptions): Promise<EmulatedRun> {
  const directory = await mkdtemp(join(tmpdir(), "nex-host-"));
  try {
    await makeDisk(options, directory);
    await makeBootFiles(options.packages, directory);
    return await boot(options, directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function makeDisk(
  { files, links = {}, command, packages }: EmulatedHostOptions,
  directory: string,
): Promise<void> {
  const root = join(directory, "root");
  for (const name of mountPoints) await mkdir(join(root, name), { recursive: true });
  const busybox = await busyboxIn(packages, directory);
  await copyFile(busybox, join(root, "bin/busybox"));
  for (const name of hostApplets) await symlink("busybox", join(root, "bin", name));
  const libraries = await findLibraries(process.execPath);
  const all = {
    ...Object.fromEntries(libraries.map((path) => [path, path])),
    "/usr/bin/node": process.execPath,
    ...files,
  };
  for (const [place, path] of Object.entries(all)) {
    await mkdir(join(root, dirname(place)), { recursive: true });
    await cp(path, join(root, place), { recursive: true, dereference: true });
  }
  for (const [place, target] of Object.entries(links)) {
    await mkdir(join(root, dirname(place)), { recursive: true });
    await symlink(target, join(root, place));
  }
  await writeFile(join(root, "command"), command);
  await chmod(root, 0o755);
  const disk = join(directory, "disk.img");
  const stdout = await toolOutput("du", ["-sm", root]);
  const mebibytes = Math.ceil(Number.parseInt(stdout, 10) * 1.1) + 32;
  const features = "^has_journal,^resize_inode";
  const args = ["-q", "-F", "-t", "ext4", "-O", features, "-m", "0", "-E", "root_owner=0:0", "-d", root];
  await toolOutput("mke2fs", [...args, disk, `${mebibytes}M`]);
  await rm(root, { recursive: true });
}

async function toolOutput(program: string, args: readonly string[]): Promise<string> {
  const env = { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
  const { output, failure } = await runProgram(program, args, { timeoutMs: toolTimeoutMs, env });
  if (failure === undefined) return output;
  throw new MachineError("boot_failed", `Cannot make the disk of an emulated host: ${failure}`);
}

async function busyboxIn({ busybox }: BootPackages, directory: string): Promise<string> {
  const unpacked = join(directory, "busybox");
  await unpackPackage(busybox, unpacked);
  return join(unpacked, "bin/busybox");
}

async function makeBootFiles({ kernel }: BootPackages, directory: string): Promise<void> {
  const unpacked = join(directory, "kernel");
  await unpackPackage(kernel, unpacked);
  const found = await findKernel(unpacked, modules);
  const busybox = await readFile(join(directory, "busybox/bin/busybox"));
  const folders = ["bin", "dev", "proc", "sys", "host", "lib", "lib/modules"];
  const archive = cpioArchive([
    ...folders.map((path) => ({ path, mode: directoryMode })),
    { path: "dev/console", mode: deviceMode, device: [5, 1] },
    { path: "bin/busybox", mode: programMode, data: busybox },
    ...hostApplets.map((name) => ({ path: `bin/${name}`, mode: linkMode, data: Buffer.from("busybox") })),
    ...found.modules.map(({ name, data }, index) => ({
      path: `lib/modules/${String(index).padStart(2, "0")}-${name}.ko`,
      mode: fileMode,
      data,
    })),
    { path: "init", mode: programMode, data: Buffer.from(hostInit) },
  ]);
  await writeFile(join(directory, "kernel.elf"), found.image);
  await writeFile(join(directory, "initramfs"), archive);
}

async function boot({ timeoutMs, onOutput }: EmulatedHostOptions, directory: string): Promise<EmulatedRun> {
  const outputPath = join(directory, "output");
  await writeFile(outputPath, "");
  const args = [
    ...[
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-no-reboot",
      "-machine",
      "q35,usb=off,smm=off",
    ],
    ...[
      "-accel",
      "tcg,tb-size=512",
      "-cpu",
      "EPYC,+svm,+npt",
      "-smp",
      String(processors),
      "-m",
      `${memoryMebibytes}M`,
    ],
    ...["-kernel", "kernel.elf", "-initrd", "initramfs"],
    ...["-append", kernelArguments.join(" ")],
    ...[
      "-drive",
      "if=none,id=disk,file=disk.img,format=raw,readonly=on",
      "-device",
      "virtio-blk-pci,drive=disk",
    ],
    ...["-serial", "file:console", "-device", "virtio-serial-pci"],
    ...["-chardev", "file,id=output,path=output", "-device", "virtserialport,chardev=output,name=output"],
  ];
  const child = spawn("qemu-system-x86_64", args, { cwd: directory, stdio: "ignore" });
  const ended = once(child, "exit");
  const text = async (name: string): Promise<string> =>
    await readFile(join(directory, name), "utf8").catch(() => "");
  let shown = 0;
  const show = async (): Promise<void> => {
    if (onOutput === undefined) return;
    for await (const part of createReadStream(outputPath, { start: shown })) {
      shown += (part as Buffer).length;
      onOutput((part as Buffer).toString("utf8"));
    }
  };
  const deadline = performance.now() + timeoutMs;
  try {
    while (child.exitCode === null && child.signalCode === null && performance.now() < deadline) {
      await delay(pollMs);
      await show();
    }
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
  await show();
  const output = await text("output");
  const [, status] = endForm.exec(output) ?? [];
  return {
    status: status === undefined ? undefined : Number(status),
    output,
    console: await text("console"),
  };
}
