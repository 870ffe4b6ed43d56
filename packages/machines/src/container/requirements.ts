/** Checks whether this host meets the requirements of containers. */
import { constants, existsSync, readFileSync } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readCgroupMounts, withController } from "../host/cgroup-mounts.ts";
import { findProgram } from "../host/program.ts";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import { type ContainerDriverOptions, type ContainerDriverSettings, completeOptions } from "./options.ts";
import { findRootlessHindrances } from "./rootless.ts";
import { judgeRuntimeProgram } from "./runtime-version.ts";

type Requirement = (
  settings: ContainerDriverSettings,
) => Promise<UnmetRequirement | undefined> | UnmetRequirement | undefined;

/** Checks before the first boot, ordered by what a user should fix first. */
const requirements: readonly Requirement[] = [linux, root, runtime, fifos, userNamespaces, cgroups, rootfs];

/** Finds the first unmet requirement that does not depend on the rootfs. */
export async function findUnmetHostRequirement(
  options: Pick<ContainerDriverOptions, "runtime">,
): Promise<UnmetRequirement | undefined> {
  const settings = completeOptions({ ...options, rootfs: "", command: [""], stateDirectory: "" });
  for (const requirement of requirements) {
    const unmet = requirement === rootfs ? undefined : await requirement(settings);
    if (unmet) return unmet;
  }
  return undefined;
}

/** Finds the first unmet requirement. */
export async function findUnmetRequirement(
  settings: ContainerDriverSettings,
): Promise<UnmetRequirement | undefined> {
  for (const requirement of requirements) {
    const unmet = await requirement(settings);
    if (unmet) return unmet;
  }
  return undefined;
}

function linux(): UnmetRequirement | undefined {
  if (process.platform === "linux") return undefined;
  return { reason: `${process.platform} has no containers`, advice: "Run the node on Linux" };
}

async function root(): Promise<UnmetRequirement | undefined> {
  if (process.getuid?.() === 0) return undefined;
  const hindrances = await findRootlessHindrances();
  const host =
    hindrances.length === 0
      ? "though this host would allow it"
      : `and this host would not allow it: ${hindrances.join("; ")}`;
  return {
    reason: `the node does not run as root, and rootless containers are not supported yet, ${host}`,
    advice: "Run the node as root, or use another sandbox",
  };
}

async function runtime({ runtime: name }: ContainerDriverSettings): Promise<UnmetRequirement | undefined> {
  const program = await findProgram(name);
  if (program !== undefined) return (await judgeRuntimeProgram(program)).unmetRequirement;
  const advice = ["runc", "crun"].includes(name)
    ? `Install it: apt-get install ${name}`
    : "Install it, or name another OCI runtime";
  return { reason: `the OCI runtime "${name}" is not installed`, advice };
}

async function fifos(): Promise<UnmetRequirement | undefined> {
  if ((await findProgram("mkfifo")) !== undefined) return undefined;
  return { reason: `the program "mkfifo" is not installed`, advice: "Install it: apt-get install coreutils" };
}

function userNamespaces(): UnmetRequirement | undefined {
  const limit = "/proc/sys/user/max_user_namespaces";
  if (!existsSync("/proc/self/ns/user")) {
    return { reason: "the kernel has no user namespaces", advice: "Use a kernel with CONFIG_USER_NS" };
  }
  if (!existsSync(limit) || Number(readFileSync(limit, "latin1")) > 0) return undefined;
  return {
    reason: "user namespaces are disabled",
    advice: "Enable them: sysctl user.max_user_namespaces=10000",
  };
}

function cgroups(): UnmetRequirement | undefined {
  const mounts = readCgroupMounts();
  const missing = ["memory", "pids", "cpu"].filter((name) => !withController(mounts, name));
  if (missing.length === 0) return undefined;
  return {
    reason: `no cgroup hierarchy is mounted for ${missing.join(", ")}`,
    advice: "Mount /sys/fs/cgroup with these controllers, or run the node outside of a container",
  };
}

async function rootfs({
  rootfs: tree,
  command,
}: ContainerDriverSettings): Promise<UnmetRequirement | undefined> {
  const advice = "Build a rootfs, and keep it where every user of the host can reach it";
  try {
    await access(join(tree, command[0]), constants.X_OK);
    for (let path = await realpath(tree); path !== "/"; path = dirname(path)) {
      if (((await stat(path)).mode & 0o001) === 0) {
        return { reason: `unprivileged users can't reach the rootfs through "${path}"`, advice };
      }
    }
    return undefined;
  } catch {
    return { reason: `the rootfs "${tree}" has no program "${command[0]}"`, advice };
  }
}
