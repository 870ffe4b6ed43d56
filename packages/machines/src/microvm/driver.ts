import type {
  Driver,
  Fingerprint,
  LimitName,
  Machine,
  MachineNetwork,
  MachineRecord,
  MachineSpec,
} from "../driver.ts";
import { demandEgress, everyNetwork } from "../network/demand.ts";
import { describeEgress } from "../network/describe.ts";
import { bootInDirectory, type Offer } from "../spec.ts";
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
  readonly #networks = new Set<MachineNetwork>(["none", "nats"]);
  readonly ownLoopback = true;
  readonly carriesIpv6 = false;
  protected abstract readonly monitor: Monitor;
  protected abstract readonly templates: Templates<unknown>;
  /** The running machines that were handed out, so that a second recovery finds the same object. */
  readonly #machines = new Map<string, MicroVm>();
  #pruned: Promise<void> | undefined;

  /** `egress` comes with a fingerprint or a boot that has found this host to carry it. */
  get networks(): ReadonlySet<MachineNetwork> {
    return this.#networks;
  }

  /** Looks whether all is there, and then boots a machine until its agent has answered. */
  protected abstract tryMonitor(): Promise<Fingerprint>;

  async fingerprint(): Promise<Fingerprint> {
    const found = await this.tryMonitor();
    if (!found.available) return found;
    await this.#learnNetworks();
    return { ...found, details: { ...found.details, egress: await describeEgress(this.monitor.egress) } };
  }

  async boot(spec: MachineSpec): Promise<Machine> {
    // Why this host does not carry egress is known only by trying.
    const offer: Offer = { kind: this.kind, enforces: this.enforces, networks: everyNetwork };
    return await bootInDirectory(offer, spec, async (owned) => {
      await demandEgress(owned, this.monitor.egress);
      this.#pruned ??= this.monitor.egress.prune();
      await this.#pruned;
      const machine = this.#keep(await this.templates.boot(owned));
      if (owned.network === "egress") await this.#learnNetworks();
      return machine;
    });
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

  async #learnNetworks(): Promise<void> {
    if ((await this.monitor.egress.lack()) === undefined) this.#networks.add("egress");
  }

  #keep(machine: MicroVm): MicroVm {
    this.#machines.set(machine.id, machine);
    void machine.exited.then(() => {
      if (this.#machines.get(machine.id) === machine) this.#machines.delete(machine.id);
    });
    return machine;
  }
}
