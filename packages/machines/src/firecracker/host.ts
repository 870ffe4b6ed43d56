/** State on this host that all Firecracker machines of one driver share. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { MachineError } from "../errors.ts";
import type { EpochChannels } from "../host/attachments.ts";
import { Cgroup, killCgroup, removeParent } from "../host/cgroup.ts";
import { type CgroupMount, readCgroupMounts } from "../host/cgroup-mounts.ts";
import { IdRanges } from "../host/id-range.ts";
import { findProgram } from "../host/program.ts";
import { removeTree } from "../host/remove-tree.ts";
import type { NextEpoch } from "../microvm/attachment.ts";
import type { MachineFacts } from "../microvm/facts.ts";
import type { Monitor } from "../microvm/machine.ts";
import { findUnmetGuestNetworkRequirement } from "../microvm/requirements.ts";
import { Egress } from "../network/egress.ts";
import { openVsockChannels } from "./channels.ts";
import { jailOf, jailsDirectory, programName, programPath, sharedDirectory } from "./layout.ts";
import { Metrics } from "./metrics.ts";
import type { FirecrackerDriverSettings } from "./options.ts";

/** Firecracker monitor: manages jails, cgroups, user ids and egress on this host. */
export class FirecrackerHost implements Monitor {
  readonly kind = "firecracker";
  readonly settings: FirecrackerDriverSettings;
  readonly ranges: IdRanges;
  readonly egress: Egress;
  readonly cgroupMounts: readonly CgroupMount[];
  readonly #ids = new Set<string>();
  readonly #metrics = new Map<string, Metrics>();
  #prepared: Promise<void> | undefined;

  constructor(settings: FirecrackerDriverSettings) {
    this.settings = settings;
    const { idsDirectory, hostIdFirst, stateDirectory } = settings;
    this.ranges = new IdRanges(idsDirectory, hostIdFirst, jailsDirectory(stateDirectory));
    this.egress = new Egress(settings.egressNetwork, stateDirectory, () =>
      findUnmetGuestNetworkRequirement(settings.boot),
    );
    this.cgroupMounts = readCgroupMounts();
  }

  /** Creates the driver's directories and cleans up after dead nodes, once. */
  async prepare(): Promise<void> {
    this.#prepared ??= (async () => {
      const { stateDirectory } = this.settings;
      await mkdir(jailsDirectory(stateDirectory), { recursive: true, mode: 0o700 });
      await this.#placeProgram();
      await this.ranges.releaseAbandoned();
    })();
    await this.#prepared;
  }

  /**
   * Returns a path of a file in the jails' file system that can be hard-linked. Images are large and shared by all
   * machines. A file of another file system is copied once.
   */
  async linkable(path: string): Promise<string> {
    const shared = sharedDirectory(this.settings.stateDirectory);
    const { size, mtimeMs, dev } = await stat(path);
    await mkdir(shared, { recursive: true, mode: 0o700 });
    if ((await stat(shared)).dev === dev) return path;
    const digest = createHash("sha256").update(`${path} ${size} ${mtimeMs}`).digest("hex").slice(0, 32);
    const copy = join(shared, digest);
    if (existsSync(copy)) return copy;
    const unfinished = `${copy}-${randomBytes(8).toString("hex")}`;
    await copyFile(path, unfinished);
    await chmod(unfinished, 0o444);
    await rename(unfinished, copy);
    return copy;
  }

  /** Removes shared files of future machines. */
  async close(): Promise<void> {
    await removeTree(sharedDirectory(this.settings.stateDirectory));
  }

  async #placeProgram(): Promise<void> {
    const { program, stateDirectory } = this.settings;
    const found = await findProgram(program);
    if (found === undefined) throw new MachineError("boot_failed", `"${program}" is not an executable file`);
    const unfinished = join(stateDirectory, `.${programName}-${process.pid}`);
    await copyFile(found, unfinished);
    await rename(unfinished, programPath(stateDirectory));
  }

  async openChannels(machineId: string, next: NextEpoch): Promise<EpochChannels> {
    return await openVsockChannels(jailOf(this.settings.stateDirectory, machineId).root, next);
  }

  /** Enables fault metrics of a machine. */
  async meter(machineId: string, userId: number): Promise<void> {
    const { root } = jailOf(this.settings.stateDirectory, machineId);
    this.#metrics.set(machineId, await Metrics.handOver(root, userId));
  }

  adopt(machineId: string): void {
    const { root } = jailOf(this.settings.stateDirectory, machineId);
    try {
      this.#metrics.set(machineId, new Metrics(root));
    } catch {
      // A machine also runs without metrics.
    }
  }

  lastWords(machineId: string): string {
    return this.#metrics.get(machineId)?.faults() ?? "";
  }

  /** Registers a machine, so that the parent cgroup is kept. */
  enter(machineId: string): void {
    this.#ids.add(machineId);
  }

  async release(
    machineId: string,
    facts: Pick<MachineFacts, "idRange" | "egressAddress"> | undefined,
  ): Promise<void> {
    const { cgroupParent, killTimeoutMs, stateDirectory } = this.settings;
    this.#metrics.get(machineId)?.close();
    this.#metrics.delete(machineId);
    const left: string[] = [];
    const cgroup = new Cgroup(this.cgroupMounts, cgroupParent, machineId);
    const pids = await killCgroup(cgroup, killTimeoutMs);
    if (pids.length > 0) left.push(`processes ${pids.join(", ")}`);
    left.push(...(await cgroup.remove()));
    const note = (error: unknown): unknown =>
      left.push(error instanceof Error ? error.message : String(error));
    if (facts === undefined || facts.egressAddress !== undefined)
      await this.egress.release(machineId).catch(note);
    await removeTree(jailOf(stateDirectory, machineId).directory).catch(note);
    if (left.length > 0) {
      const what = left.join("; ");
      throw new MachineError(
        "destroy_failed",
        `Cannot destroy machine "${machineId}": could not remove ${what}`,
      );
    }
    if (facts?.idRange !== undefined) await this.ranges.release(facts.idRange, machineId);
    else await this.ranges.releaseAbandoned();
    this.#ids.delete(machineId);
    if (this.#ids.size === 0) await removeParent(this.cgroupMounts, cgroupParent);
  }
}
