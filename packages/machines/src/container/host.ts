import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Cgroup, removeParent } from "../host/cgroup.ts";
import { type CgroupMount, readCgroupMounts } from "../host/cgroup-mounts.ts";
import { IdRanges } from "../host/id-range.ts";
import { Egress } from "../network/egress.ts";
import type { ContainerDriverSettings } from "./options.ts";
import { Runtime } from "./runtime.ts";

/** What the machines of one driver share on this host. */
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

  /** Makes the driver's own directory, and clears it of what dead nodes have left, once. */
  async prepare(): Promise<void> {
    this.#prepared ??= (async () => {
      await mkdir(this.settings.stateDirectory, { recursive: true, mode: 0o700 });
      await Promise.all([this.ranges.releaseAbandoned(), this.egress.prune()]);
    })();
    await this.#prepared;
    // A group that is just being removed must not be taken for one that is there.
    await this.#removal;
  }

  /** The control group of a machine. */
  cgroup(id: string, parent = this.settings.cgroupParent): Cgroup {
    return new Cgroup(this.cgroupMounts, parent, id);
  }

  /** Says that a machine may be there from now on, so that the group above it stays. */
  enter(id: string): void {
    this.#ids.add(id);
  }

  /** Says that nothing is left of a machine, and removes the group above it when it was the last one. */
  async leave(id: string, parent = this.settings.cgroupParent): Promise<void> {
    this.#ids.delete(id);
    this.#removal = this.#removal.then(() => this.#removeParent(parent));
    await this.#removal;
  }

  async #removeParent(parent: string): Promise<void> {
    if (this.#ids.size === 0) await removeParent(this.cgroupMounts, parent);
  }
}
