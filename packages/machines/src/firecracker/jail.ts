/** Makes the jail of a machine and starts Firecracker in it. */
import { closeSync } from "node:fs";
import { link, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { makeFifos, openFifo } from "../host/fifo.ts";
import { closeOutput, FifoConsole } from "../host/fifo-console.ts";
import { goneTicks, isAlive, type ProcessIdentity, readProcess } from "../host/process-table.ts";
import { findProgram } from "../host/program.ts";
import { runDetached } from "../host/run-program.ts";
import { layoutOf } from "../microvm/layout.ts";
import { FirecrackerApi } from "./api.ts";
import { cgroupArguments } from "./cgroup-arguments.ts";
import type { FirecrackerHost } from "./host.ts";
import { jailNames, jailOf, programPath } from "./layout.ts";

const openFilesMax = 1_024;

/** A jailed Firecracker that has not been configured. */
export interface Jailed {
  identity: ProcessIdentity;
  console: FifoConsole;
  api: FirecrackerApi;
  root: string;
}

/** Members of a spec that a jail needs. */
export type JailSpec = Pick<MachineSpec, "id" | "directory" | "limits"> & { isTemplate?: boolean };

/** User and network of a Firecracker. */
export interface JailUser {
  userId: number;
  /** Path of the network namespace file; the host's network if absent. */
  networkPath?: string | undefined;
}

/** Host files to put into a jail, by their names in the jail. */
export type Furniture = Readonly<Partial<Record<keyof typeof jailNames, string>>>;

/**
 * Starts Firecracker in a new jail with its own user, and waits until its API answers.
 *
 * @param files Shared by all machines, so they are read-only in the jail.
 * @throws MachineError `boot_failed` with Firecracker's output; the caller cleans up.
 */
export async function jail(
  host: FirecrackerHost,
  spec: JailSpec,
  { userId, networkPath }: JailUser,
  files: Furniture,
): Promise<Jailed> {
  const { settings } = host;
  const { root, pid } = jailOf(settings.stateDirectory, spec.id);
  const layout = layoutOf(spec.directory);
  const jailer = await findProgram(settings.jailer);
  if (jailer === undefined) throw bootFailure(spec.id, `"${settings.jailer}" is not an executable file`);
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const [name, path] of Object.entries(files)) {
    await link(await host.linkable(path), join(root, jailNames[name as keyof typeof jailNames]));
  }
  // Created with one program run, because each run takes a noticeable share of the time of a copy.
  await makeFifos([layout.controlIn, layout.controlOut, join(root, jailNames.metrics)], 0o600);
  await host.meter(spec.id, userId);
  const { console, outputFd } = FifoConsole.open(layout.controlOut);
  try {
    const args = [
      ...["--id", spec.id, "--exec-file", programPath(settings.stateDirectory)],
      ...["--uid", String(userId), "--gid", String(userId)],
      ...["--chroot-base-dir", join(settings.stateDirectory, "jails"), "--new-pid-ns"],
      ...(networkPath === undefined ? [] : ["--netns", networkPath]),
      ...cgroupArguments(spec, settings, host.cgroupMounts),
      ...["--resource-limit", `no-file=${openFilesMax}`],
      ...["--", "--api-sock", `/${jailNames.api}`, "--level", "Error"],
    ];
    await run(jailer, args, spec, outputFd, settings.apiTimeoutMs);
    const identity = await identityIn(pid, spec.id);
    const api = new FirecrackerApi(root, settings.apiTimeoutMs);
    if (!(await api.ready(() => !isAlive(identity))))
      throw bootFailure(spec.id, `"${settings.program}" does not accept commands`);
    await api.put("/metrics", { metrics_path: `/${jailNames.metrics}` });
    return { identity, console, api, root };
  } catch (error) {
    const said = (await console.end()).trim();
    const why = error instanceof Error ? error.message : String(error);
    throw bootFailure(spec.id, said === "" ? why : `${why}: ${said}`, { cause: error });
  }
}

/** Runs the jailer to completion. The process that it starts keeps these streams. */
async function run(
  jailer: string,
  args: string[],
  { id, directory }: Pick<MachineSpec, "id" | "directory">,
  outputFd: number,
  timeoutMs: number,
): Promise<void> {
  const inputFd = openFifo(layoutOf(directory).controlIn, "write");
  try {
    const stdio = [inputFd, outputFd, outputFd];
    const failure = await runDetached(jailer, args, { timeoutMs, stdio, cwd: directory, env: {} });
    if (failure !== undefined) throw bootFailure(id, failure);
  } finally {
    closeSync(inputFd);
    closeOutput(outputFd);
  }
}

/** Reads the pid file of the jailer and identifies the process on the host. */
async function identityIn(path: string, id: string): Promise<ProcessIdentity> {
  const pid = Number((await readFile(path, "latin1").catch(() => "")).trim());
  if (!Number.isSafeInteger(pid) || pid <= 1) throw bootFailure(id, "the jailer wrote no pid file");
  return { pid, startTicks: readProcess(pid)?.startTicks ?? goneTicks };
}

/** Writes a private file of a machine that its user may read. */
export async function placeBytes(root: string, name: keyof typeof jailNames, bytes: Buffer): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  await writeFile(join(root, jailNames[name]), bytes, { mode: 0o444, flag: "wx" });
}
