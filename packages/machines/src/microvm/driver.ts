import type {
  Driver,
  Fingerprint,
  LimitName,
  Machine,
  MachineNetwork,
  MachineRecord,
  MachineSpec,
} from "../driver.ts";
import { bootInDirectory } from "../spec.ts";
import type { MicroVm, Monitor } from "./machine.ts";
import { recoverMicroVm } from "./recover.ts";
import type { Templates } from "./templates.ts";

/** What the drivers of microVMs have in common, whose monitors differ. */
export abstract class MicroVmDriver implements Driver {
  abstract readonly kind: "qemu" | "firecracker";
  readonly enforces: ReadonlySet<LimitName> = new Set<LimitName>([
    "memoryBytes",
    "vcpus",
    "processes",
    "diskBytes",
  ]);
  readonly networks: ReadonlySet<MachineNetwork> = new Set<MachineNetwork>(["none", "nats"]);
  readonly ownLoopback = true;
  readonly carriesIpv6 = false;
  protected abstract readonly monitor: Monitor;
  protected abstract readonly templates: Templates<unknown>;
  /** The running machines that were handed out, so that a second recovery finds the same object. */
  readonly #machines = new Map<string, MicroVm>();

  abstract fingerprint(): Promise<Fingerprint>;

  async boot(spec: MachineSpec): Promise<Machine> {
    return await bootInDirectory(this, spec, async (owned) => this.#keep(await this.templates.boot(owned)));
  }

  /**
   * Finds a machine that another process booted; what is left of one that has ended is removed. One that this driver
   * holds is the same object.
   *
   * @throws MachineError `destroy_failed` when something of an ended machine can't be removed.
   */
  async recover(record: MachineRecord): Promise<Machine | undefined> {
    const held = this.#machines.get(record.id);
    if (held !== undefined) return held;
    const found = await recoverMicroVm(this.monitor, record);
    return found && this.#keep(found);
  }

  /** Removes what machines are copied from. */
  async close(): Promise<void> {
    await this.templates.clear();
  }

  #keep(machine: MicroVm): MicroVm {
    this.#machines.set(machine.id, machine);
    void machine.exited.then(() => {
      if (this.#machines.get(machine.id) === machine) this.#machines.delete(machine.id);
    });
    return machine;
  }
}
