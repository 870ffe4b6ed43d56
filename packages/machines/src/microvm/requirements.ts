/** Requirements that both kinds of microVM share. */
import { constants } from "node:fs";
import { access, mkdir, open, readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import type { BootFiles } from "../rootfs/boot-manifest.ts";
import { guestNetworkMark } from "../rootfs/guest-init.ts";
import { readImageHead } from "../rootfs/image-format.ts";
import type { MicroVmSettings } from "./settings.ts";

/** Checks one requirement. */
export type Requirement<Settings> = (
  settings: Settings,
) => Promise<UnmetRequirement | undefined> | UnmetRequirement | undefined;

const kvmDevice = "/dev/kvm";
const mebibyte = 1_048_576;
/** Magic bytes of the boot files: a 64-bit little-endian ELF file and a cpio archive. */
const elfMark = "7f454c460201";
const elfMachineAt = 18;
const elfMachineX64 = 62;
const cpioMark = Buffer.from("070701").toString("hex");
const headBytes = 64;

/** Finds the first unmet requirement. */
export async function firstUnmetRequirement<Settings>(
  requirements: readonly Requirement<Settings>[],
  settings: Settings,
): Promise<UnmetRequirement | undefined> {
  for (const requirement of requirements) {
    const unmet = await requirement(settings);
    if (unmet !== undefined) return unmet;
  }
  return undefined;
}

/** MicroVMs are supported on one architecture only. */
export function findUnmetPlatformRequirement(): UnmetRequirement | undefined {
  if (process.platform === "linux" && process.arch === "x64") return undefined;
  return {
    reason: `microVMs require Linux on x64, but this host is ${process.platform} on ${process.arch}`,
    advice: "Use another sandbox",
  };
}

/** @param otherwise Advice for hosts without KVM. */
export async function findUnmetKvmRequirement(otherwise: string): Promise<UnmetRequirement | undefined> {
  try {
    await access(kvmDevice, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES")
      return {
        reason: `the node may not open ${kvmDevice}`,
        advice: `Add the node's user to the group of ${kvmDevice}`,
      };
    const isGuest = / hypervisor( |$)/m.test(await readFile("/proc/cpuinfo", "latin1").catch(() => ""));
    const where = isGuest ? ": this host is a virtual machine itself, without nested virtualization" : "";
    return {
      reason: `${kvmDevice} does not exist${where}`,
      advice: `Run the node where KVM works, or ${otherwise}`,
    };
  }
}

/** Checks that the boot files are intact. */
export async function findUnmetBootFilesRequirement(boot: BootFiles): Promise<UnmetRequirement | undefined> {
  const advice = writeAnew(boot.kernel);
  for (const [path, mark] of [
    [boot.kernel, elfMark],
    [boot.initramfs, cpioMark],
  ] as const) {
    const head = await readHead(path);
    if (head === undefined) return { reason: `"${path}" is not there`, advice };
    const isWhole = head.toString("hex").startsWith(mark);
    if (!isWhole) return { reason: `"${path}" is damaged, or not what "nex rootfs" writes`, advice };
    if (path !== boot.kernel || head.readUInt16LE(elfMachineAt) === elfMachineX64) continue;
    return { reason: `"${path}" is a kernel for another architecture`, advice };
  }
  return undefined;
}

/** Checks that the initramfs sets up the network of a machine with egress. Older ones don't. */
export async function findUnmetGuestNetworkRequirement({
  initramfs,
}: BootFiles): Promise<UnmetRequirement | undefined> {
  const sets = await readFile(initramfs).then(
    (bytes) => bytes.includes(guestNetworkMark),
    () => false,
  );
  if (sets) return undefined;
  return {
    reason: `"${initramfs}" is too old to set up a network`,
    advice: writeAnew(initramfs),
  };
}

function writeAnew(path: string): string {
  return `Run: nex rootfs --format ext4 --kernel apt --output ${dirname(dirname(path))}/`;
}

/** Checks that the image can be a machine's root file system. */
export async function findUnmetImageRequirement(path: string): Promise<UnmetRequirement | undefined> {
  const advice = "Run: nex rootfs --format ext4";
  try {
    const head = await readImageHead(path);
    if (head === undefined) return { reason: `"${path}" is neither an ext4 nor a squashfs image`, advice };
    return head.isCutOff ? { reason: `"${path}" is cut off`, advice } : undefined;
  } catch {
    return { reason: `"${path}" is not there`, advice };
  }
}

/** Checks the disk space for templates, which hold the memory of machines. */
export async function findUnmetSpaceRequirement({
  stateDirectory,
  memoryBytesDefault,
}: Pick<MicroVmSettings, "memoryBytesDefault"> & { stateDirectory: string }): Promise<
  UnmetRequirement | undefined
> {
  try {
    await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  } catch (error) {
    const { code = "an error" } = error as NodeJS.ErrnoException;
    return {
      reason: `"${stateDirectory}" can't be created (${code})`,
      advice: "Name another state directory",
    };
  }
  const { bavail, bsize } = await statfs(stateDirectory);
  const freeBytes = bavail * bsize;
  if (freeBytes >= memoryBytesDefault) return undefined;
  const [free, needed] = [freeBytes, memoryBytesDefault].map((bytes) => Math.floor(bytes / mebibyte));
  return {
    reason: `the disk of "${stateDirectory}" has ${free} MiB free, but templates need ${needed} MiB`,
    advice: "Free disk space there, or name another state directory",
  };
}

async function readHead(path: string): Promise<Buffer | undefined> {
  try {
    await using file = await open(path, "r");
    return (await file.read(Buffer.alloc(headBytes), 0, headBytes, 0)).buffer;
  } catch {
    return undefined;
  }
}
