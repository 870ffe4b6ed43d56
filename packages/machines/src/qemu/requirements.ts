import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Lack } from "../host/lack.ts";
import { findProgram } from "../host/program.ts";
import {
  findBootFilesLack,
  findImageLack,
  findKvmLack,
  findPlatformLack,
  findSpaceLack,
  firstLack,
  type Requirement,
} from "../microvm/requirements.ts";
import { completeOptions, type QemuDriverOptions, type QemuDriverSettings } from "./options.ts";

const versionTimeoutMs = 10_000;

const emulation = 'ask for slow emulation: {"sandbox": "qemu", "qemu": {"accel": "tcg"}}';

const beforeImage: readonly Requirement<QemuDriverSettings>[] = [
  findPlatformLack,
  program,
  ({ accelerator }) => (accelerator === "tcg" ? undefined : findKvmLack(emulation)),
  ({ boot }) => findBootFilesLack(boot),
];

/** What is looked at before there is an image. */
export type QemuNeeds = Pick<QemuDriverOptions, "program" | "accelerator" | "boot">;

/** Finds the first thing that is missing for any image. */
export async function findQemuLack(needs: QemuNeeds): Promise<Lack | undefined> {
  const settings = completeOptions({ ...needs, image: "", command: [""], stateDirectory: "" });
  return await firstLack(beforeImage, settings);
}

/** Finds the first thing that is missing. */
export async function findLack(settings: QemuDriverSettings): Promise<Lack | undefined> {
  return await firstLack([...beforeImage, ({ image }) => findImageLack(image), findSpaceLack], settings);
}

/** The version of QEMU, or why it can't be had. */
export async function qemuVersion(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ["--version"], { timeout: versionTimeoutMs, env: {} });
  return /version (\S+)/.exec(stdout)?.[1] ?? "unknown";
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
