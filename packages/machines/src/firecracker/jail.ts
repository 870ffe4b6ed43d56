import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { link, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { makeFifos, openFifo } from "../host/fifo.ts";
import { closeOutput, FifoConsole } from "../host/fifo-console.ts";
import { isAlive, type ProcessIdentity, readProcess } from "../host/process-table.ts";
import { findProgram } from "../host/program.ts";
import { settlesWithin } from "../host/wait.ts";
import { layoutOf } from "../microvm/layout.ts";
import { FirecrackerApi } from "./api.ts";
import { cgroupArguments } from "./cgroup-arguments.ts";
import type { FirecrackerHost } from "./host.ts";
import { jailNames, jailOf, programPath } from "./layout.ts";

const openFilesMax = 1_024;
/** Whoever has gone already is taken for this: no process starts before the host does. */
const goneTicks = -1;

/** A Firecracker in its jail, which has been told nothing yet. */
export interface Jailed {
  identity: ProcessIdentity;
  console: FifoConsole;
  api: FirecrackerApi;
  root: string;
}

/** What of an order counts for its jail. */
export type JailOrder = Pick<MachineSpec, "id" | "directory" | "limits"> & { isTemplate?: boolean };

/** As whom, and in which network, a Firecracker runs. */
export interface JailUser {
  userId: number;
  /** As a file of this host; the host's own network when absent. */
  networkPath?: string | undefined;
}

/** What a jail is furnished with: files of this host by the names that they get in it. */
export type Furniture = Readonly<Partial<Record<keyof typeof jailNames, string>>>;

/**
 * Puts a Firecracker into a jail of its own, with a user of its own, and waits until it takes orders.
 *
 * @param files Shared by all machines that have them, so nobody can write them in the jail.
 * @throws MachineError `boot_failed` with what it has said; the caller removes what is left.
 */
export async function jail(
  host: FirecrackerHost,
  spec: JailOrder,
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
  // All at once, since each run of a program takes a part of the time that a copy needs.
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
      throw bootFailure(spec.id, `"${settings.program}" does not take orders`);
    await api.put("/metrics", { metrics_path: `/${jailNames.metrics}` });
    return { identity, console, api, root };
  } catch (error) {
    const said = (await console.end()).trim();
    const why = error instanceof Error ? error.message : String(error);
    throw bootFailure(spec.id, said === "" ? why : `${why}: ${said}`, { cause: error });
  }
}

/** Runs the jailer to its end; what it starts goes on, with these streams. */
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
    const child = spawn(jailer, args, { cwd: directory, detached: true, stdio, env: {} });
    const ended = once(child, "exit");
    ended.catch(() => undefined);
    await once(child, "spawn");
    if (!(await settlesWithin(ended, timeoutMs))) {
      child.kill("SIGKILL");
      throw bootFailure(id, `"${jailer}" has not ended after ${timeoutMs} ms`);
    }
    const [code] = (await ended) as [number | null];
    if (code !== 0) throw bootFailure(id, `"${jailer}" has ended with ${code ?? "a signal"}`);
  } finally {
    closeSync(inputFd);
    closeOutput(outputFd);
  }
}

/** The process that the jailer has noted: the first of its namespace, as the host numbers it. */
async function identityIn(path: string, id: string): Promise<ProcessIdentity> {
  const pid = Number((await readFile(path, "latin1").catch(() => "")).trim());
  if (!Number.isSafeInteger(pid) || pid <= 1) throw bootFailure(id, "the jailer has noted no process");
  return { pid, startTicks: readProcess(pid)?.startTicks ?? goneTicks };
}

/** Writes a file of a machine's own, which its user may read. */
export async function placeBytes(root: string, name: keyof typeof jailNames, bytes: Buffer): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  await writeFile(join(root, jailNames[name]), bytes, { mode: 0o444, flag: "wx" });
}
