import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { promisify } from "node:util";
import type { Lack } from "../host/lack.ts";
import { findProgram } from "../host/program.ts";
import { findBootFilesLack, findImageLack } from "../microvm/requirements.ts";
import { completeOptions, type QemuDriverOptions, type QemuDriverSettings } from "./options.ts";

type Requirement = (settings: QemuDriverSettings) => Promise<Lack | undefined> | Lack | undefined;

const versionTimeoutMs = 10_000;
const kvmDevice = "/dev/kvm";

const beforeImage: readonly Requirement[] = [...[linux, program, kvm], ({ boot }) => findBootFilesLack(boot)];

/** What is looked at before there is an image. */
export type QemuNeeds = Pick<QemuDriverOptions, "program" | "accelerator" | "boot">;

/** Finds the first thing that is missing for any image. */
export async function findQemuLack(needs: QemuNeeds): Promise<Lack | undefined> {
  const settings = completeOptions({ ...needs, image: "", command: [""], stateDirectory: "" });
  return await firstLack(beforeImage, settings);
}

/** Finds the first thing that is missing. */
export async function findLack(settings: QemuDriverSettings): Promise<Lack | undefined> {
  return await firstLack([...beforeImage, ({ image }) => findImageLack(image)], settings);
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
