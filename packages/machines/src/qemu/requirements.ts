/** Checks whether this host meets the requirements of QEMU. */
import { findProgram } from "../host/program.ts";
import { askVersion } from "../host/run-program.ts";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import {
  findUnmetBootFilesRequirement,
  findUnmetImageRequirement,
  findUnmetKvmRequirement,
  findUnmetPlatformRequirement,
  findUnmetSpaceRequirement,
  firstUnmetRequirement,
  type Requirement,
} from "../microvm/requirements.ts";
import { completeOptions, type QemuDriverOptions, type QemuDriverSettings } from "./options.ts";

const emulation = 'enable slow emulation: {"sandbox": "qemu", "qemu": {"accel": "tcg"}}';

const beforeImage: readonly Requirement<QemuDriverSettings>[] = [
  findUnmetPlatformRequirement,
  program,
  ({ accelerator }) => (accelerator === "tcg" ? undefined : findUnmetKvmRequirement(emulation)),
  ({ boot }) => findUnmetBootFilesRequirement(boot),
];

/** Options checked before an image exists. */
export type QemuNeeds = Pick<QemuDriverOptions, "program" | "accelerator" | "boot">;

/** Finds the first unmet requirement that does not depend on the image. */
export async function findUnmetQemuRequirement(needs: QemuNeeds): Promise<UnmetRequirement | undefined> {
  const settings = completeOptions({ ...needs, image: "", command: [""], stateDirectory: "" });
  return await firstUnmetRequirement(beforeImage, settings);
}

/** Finds the first unmet requirement. */
export async function findUnmetRequirement(
  settings: QemuDriverSettings,
): Promise<UnmetRequirement | undefined> {
  return await firstUnmetRequirement(
    [...beforeImage, ({ image }) => findUnmetImageRequirement(image), findUnmetSpaceRequirement],
    settings,
  );
}

/** Returns the version of QEMU, or why it can't be determined. */
export async function qemuVersion(path: string): Promise<string> {
  const stdout = await askVersion(path);
  return /version (\S+)/.exec(stdout)?.[1] ?? "unknown";
}

async function program({ program: name }: QemuDriverSettings): Promise<UnmetRequirement | undefined> {
  const path = await findProgram(name);
  if (path === undefined) {
    return { reason: `"${name}" is not here`, advice: "apt-get install qemu-system-x86" };
  }
  try {
    await qemuVersion(path);
    return undefined;
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error), advice: "Reinstall it" };
  }
}
