import { constants } from "node:fs";
import { access, mkdir, open, readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import type { BootFiles } from "../rootfs/boot-manifest.ts";
import { guestNetworkMark } from "../rootfs/guest-init.ts";
import { readImageHead } from "../rootfs/image-format.ts";
import type { MicroVmSettings } from "./settings.ts";

/** Finds what is missing of one thing. */
export type Requirement<Settings> = (
  settings: Settings,
) => Promise<UnmetRequirement | undefined> | UnmetRequirement | undefined;

const kvmDevice = "/dev/kvm";
const mebibyte = 1_048_576;
/** How the boot files begin: an ELF program of 64 bits, the lowest byte first, and an archive of cpio. */
const elfMark = "7f454c460201";
const elfMachineAt = 18;
const elfMachineX64 = 62;
const cpioMark = Buffer.from("070701").toString("hex");
const headBytes = 64;

/** Finds the first thing that is missing. */
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

/** MicroVMs are made here for one kind of processor only. */
export function findUnmetPlatformRequirement(): UnmetRequirement | undefined {
  if (process.platform === "linux" && process.arch === "x64") return undefined;
  return {
    reason: `microVMs are made on Linux for x64 only, and this is ${process.platform} for ${process.arch}`,
    advice: "Use another sandbox",
  };
}

/** @param otherwise What can be done where there is none. */
export async function findUnmetKvmRequirement(otherwise: string): Promise<UnmetRequirement | undefined> {
  try {
    await access(kvmDevice, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES")
      return {
        reason: `${kvmDevice} may not be opened`,
        advice: `Add the node's user to the group of ${kvmDevice}`,
      };
    const isGuest = / hypervisor( |$)/m.test(await readFile("/proc/cpuinfo", "latin1").catch(() => ""));
    const where = isGuest ? ": this host is a virtual machine itself, without nested virtualization" : "";
    return {
      reason: `${kvmDevice} is not there${where}`,
      advice: `Run the node where KVM works, or ${otherwise}`,
    };
  }
}

/** Are the files whole that every machine boots? */
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
    return { reason: `"${path}" is a kernel for another kind of processor`, advice };
  }
  return undefined;
}

/** Does the initramfs set up the network of a machine with egress? One of an earlier version does not. */
export async function findUnmetGuestNetworkRequirement({
  initramfs,
}: BootFiles): Promise<UnmetRequirement | undefined> {
  const sets = await readFile(initramfs).then(
    (bytes) => bytes.includes(guestNetworkMark),
    () => false,
  );
  if (sets) return undefined;
  return {
    reason: `"${initramfs}" is of an earlier version, which sets up no network`,
    advice: writeAnew(initramfs),
  };
}

function writeAnew(path: string): string {
  return `Run: nex rootfs --format ext4 --kernel apt --output ${dirname(dirname(path))}/`;
}

/** Is it an image that machines can have as their root? */
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

/** Is there room for the memory of machines, of which copies are made? */
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
    return { reason: `"${stateDirectory}" can't be made (${code})`, advice: "Name another state directory" };
  }
  const { bavail, bsize } = await statfs(stateDirectory);
  const freeBytes = bavail * bsize;
  if (freeBytes >= memoryBytesDefault) return undefined;
  const [free, needed] = [freeBytes, memoryBytesDefault].map((bytes) => Math.floor(bytes / mebibyte));
  return {
    reason: `the disk of "${stateDirectory}" has ${free} MiB left, and machines need ${needed} MiB to be copied from`,
    advice: "Make room there, or name another state directory",
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
