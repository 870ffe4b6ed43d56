/** Checks whether this host meets the requirements of Firecracker. */
import { readCgroupMounts, withController } from "../host/cgroup-mounts.ts";
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
import { completeOptions, type FirecrackerDriverOptions, type FirecrackerDriverSettings } from "./options.ts";
import { newerReleaseAdvice } from "./release.ts";

const install = `Get it with: nex preflight --install. ${newerReleaseAdvice}`;

const beforeImage: readonly Requirement<FirecrackerDriverSettings>[] = [
  findUnmetPlatformRequirement,
  root,
  () => findUnmetKvmRequirement("use another sandbox"),
  programs,
  cgroups,
  ({ boot }) => findUnmetBootFilesRequirement(boot),
];

/** Options checked before an image exists. */
export type FirecrackerNeeds = Pick<FirecrackerDriverOptions, "boot"> &
  Partial<Pick<FirecrackerDriverOptions, "program" | "jailer">>;

/** Finds the first unmet requirement that does not depend on the image. */
export async function findUnmetFirecrackerRequirement(
  needs: FirecrackerNeeds,
): Promise<UnmetRequirement | undefined> {
  const unused = {
    image: "",
    command: [""],
    stateDirectory: "",
    idsDirectory: "",
    cgroupParent: "",
  } as const;
  return await firstUnmetRequirement(beforeImage, completeOptions({ ...needs, ...unused }));
}

/** Finds the first unmet requirement. */
export async function findUnmetRequirement(
  settings: FirecrackerDriverSettings,
): Promise<UnmetRequirement | undefined> {
  return await firstUnmetRequirement(
    [...beforeImage, ({ image }) => findUnmetImageRequirement(image), findUnmetSpaceRequirement],
    settings,
  );
}

/** Returns the version of a Firecracker program. */
export async function firecrackerVersion(path: string): Promise<string> {
  const stdout = await askVersion(path);
  return /v(\d\S+)/.exec(stdout)?.[1] ?? "unknown";
}

function root(): UnmetRequirement | undefined {
  if (process.getuid?.() === 0) return undefined;
  return {
    reason: "the node does not run as root, which the jailer needs to give each machine its own user",
    advice: "Run the node as root, or use another sandbox",
  };
}

async function programs({
  program,
  jailer,
}: FirecrackerDriverSettings): Promise<UnmetRequirement | undefined> {
  for (const name of [program, jailer]) {
    const path = await findProgram(name);
    if (path === undefined) return { reason: `"${name}" is not here`, advice: install };
    try {
      await firecrackerVersion(path);
    } catch (error) {
      return { reason: error instanceof Error ? error.message : String(error), advice: install };
    }
  }
  return undefined;
}

function cgroups(): UnmetRequirement | undefined {
  const missing = ["memory", "pids", "cpu"].filter((name) => !withController(readCgroupMounts(), name));
  if (missing.length === 0) return undefined;
  return {
    reason: `no cgroup hierarchy is mounted for ${missing.join(", ")}`,
    advice: "Mount /sys/fs/cgroup with these controllers, or run the node outside of a container",
  };
}
