/** State on this host that all containers of one driver share. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Cgroup, removeParent } from "../host/cgroup.ts";
import { type CgroupMount, readCgroupMounts } from "../host/cgroup-mounts.ts";
import { IdRanges } from "../host/id-range.ts";
import { Egress } from "../network/egress.ts";
import type { ContainerDriverSettings } from "./options.ts";
import { Runtime } from "./runtime.ts";

/** State on this host shared by the machines of one driver. */
export class ContainerHost {
  readonly settings: ContainerDriverSettings;
  readonly runtime: Runtime;
  readonly ranges: IdRanges;
  readonly egress: Egress;
  readonly cgroupMounts: readonly CgroupMount[];
  readonly #ids = new Set<string>();
  #prepared: Promise<void> | undefined;
  #removal: Promise<void> = Promise.resolve();

  constructor(settings: ContainerDriverSettings) {
    this.settings = settings;
    const root = join(settings.stateDirectory, "runtime");
    this.runtime = new Runtime(settings.runtime, root, settings.runtimeTimeoutMs);
    this.ranges = new IdRanges(settings.idsDirectory, settings.hostIdFirst, root);
    this.egress = new Egress(settings.egressNetwork, settings.stateDirectory);
    this.cgroupMounts = readCgroupMounts();
  }

  /** Creates the driver's directory and cleans up after dead nodes, once. */
  async prepare(): Promise<void> {
    this.#prepared ??= (async () => {
      await mkdir(this.settings.stateDirectory, { recursive: true, mode: 0o700 });
      await Promise.all([this.ranges.releaseAbandoned(), this.egress.prune()]);
    })();
    await this.#prepared;
    // The parent cgroup may be in the process of removal.
    await this.#removal;
  }

  /** Returns the cgroup of a machine. */
  cgroup(id: string, parent = this.settings.cgroupParent): Cgroup {
    return new Cgroup(this.cgroupMounts, parent, id);
  }

  /** Registers a machine, so that the parent cgroup is kept. */
  enter(id: string): void {
    this.#ids.add(id);
  }

  /** Unregisters a machine, and removes the parent cgroup after the last one. */
  async leave(id: string, parent = this.settings.cgroupParent): Promise<void> {
    this.#ids.delete(id);
    this.#removal = this.#removal.then(() => this.#removeParent(parent));
    await this.#removal;
  }

  async #removeParent(parent: string): Promise<void> {
    if (this.#ids.size === 0) await removeParent(this.cgroupMounts, parent);
  }
}
