import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, open } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Lack } from "../container/requirements.ts";
import { findProgram } from "../host/program.ts";
import { completeOptions, type QemuDriverOptions, type QemuDriverSettings } from "./options.ts";

type Requirement = (settings: QemuDriverSettings) => Promise<Lack | undefined> | Lack | undefined;

const versionTimeoutMs = 10_000;
const kvmDevice = "/dev/kvm";
/** Where the magic number of an ext4 image is, and what it is. */
const magicOffset = 0x438;
const magic = 0xef53;

const beforeImage: readonly Requirement[] = [linux, program, kvm, bootFiles];

/** What is looked at before there is an image. */
export type QemuNeeds = Pick<QemuDriverOptions, "program" | "accelerator" | "boot">;

/** Finds the first thing that is missing for any image. */
export async function findQemuLack(needs: QemuNeeds): Promise<Lack | undefined> {
  const settings = completeOptions({ ...needs, image: "", command: [""], stateDirectory: "" });
  return await firstLack(beforeImage, settings);
}

/** Finds the first thing that is missing. */
export async function findLack(settings: QemuDriverSettings): Promise<Lack | undefined> {
  return await firstLack([...beforeImage, image], settings);
}

/** The version of QEMU, or why it can't be had. */
export async function qemuVersion(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ["--version"], { timeout: versionTimeoutMs, env: {} });
  return /version (\S+)/.exec(stdout)?.[1] ?? "unknown";
}

async function firstLack(
  requirements: readonly Requirement[],
  settings: QemuDriverSettings,
): Promise<Lack | undefined> {
  for (const requirement of requirements) {
    const lack = await requirement(settings);
    if (lack !== undefined) return lack;
  }
  return undefined;
}

function linux(): Lack | undefined {
  if (process.platform === "linux" && process.arch === "x64") return undefined;
  return {
    reason: `microVMs of QEMU are made on Linux for x64 only, and this is ${process.platform} for ${process.arch}`,
    advice: "Use another sandbox",
  };
}

async function program({ program: name }: QemuDriverSettings): Promise<Lack | undefined> {
  const path = await findProgram(name);
  if (path === undefined) {
    return { reason: `"${name}" is not here`, advice: "apt-get install qemu-system-x86" };
  }
  try {
    await qemuVersion(path);
    return undefined;
  } catch (error) {
    return { reason: `"${path}" does not run: ${String(error)}`, advice: "Install it anew" };
  }
}

async function kvm({ accelerator }: QemuDriverSettings): Promise<Lack | undefined> {
  if (accelerator === "tcg") return undefined;
  try {
    await access(kvmDevice, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === "EACCES" ? "may not be opened" : "is not there";
    return {
      reason: `${kvmDevice} ${why}`,
      advice: `Run the node where KVM works, or ask for slow emulation: {"sandbox": "qemu", "qemu": {"accel": "tcg"}}`,
    };
  }
}

async function bootFiles({ boot }: QemuDriverSettings): Promise<Lack | undefined> {
  for (const path of [boot.kernel, boot.initramfs]) {
    const there = await access(path, constants.R_OK).then(
      () => true,
      () => false,
    );
    const advice = `Run: nex rootfs --format ext4 --kernel apt --output ${dirname(dirname(path))}/`;
    if (!there) return { reason: `"${path}" is not there`, advice };
  }
  return undefined;
}

async function image({ image: path }: QemuDriverSettings): Promise<Lack | undefined> {
  const advice = "Run: nex rootfs --format ext4";
  try {
    await using file = await open(path, "r");
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, magicOffset);
    return buffer.readUInt16LE() === magic ? undefined : { reason: `"${path}" is no ext4 image`, advice };
  } catch {
    return { reason: `"${path}" is not there`, advice };
  }
}
