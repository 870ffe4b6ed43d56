import type {
  Driver,
  Fingerprint,
  LimitName,
  Machine,
  MachineNetwork,
  MachineRecord,
  MachineSpec,
  SandboxKind,
} from "./driver.ts";
import type { DetachedMachine } from "./host/detached-machine.ts";
import { describeEgress } from "./network/describe.ts";
import type { Egress } from "./network/egress.ts";
import { bootInDirectory, type Offer } from "./spec.ts";

/** What a driver takes orders for before it has tried what this host carries. */
const everyNetwork: ReadonlySet<MachineNetwork> = new Set<MachineNetwork>(["none", "nats", "egress"]);

/** A driver whose machines don't end with the process that booted them, and can have egress. */
export abstract class DetachedDriver<Made extends DetachedMachine> implements Driver {
  abstract readonly kind: SandboxKind;
  readonly enforces: ReadonlySet<LimitName> = new Set<LimitName>([
    "memoryBytes",
    "vcpus",
    "processes",
    "diskBytes",
  ]);
  readonly #networks = new Set<MachineNetwork>(["none", "nats"]);
  readonly ownLoopback = true;
  readonly carriesIpv6 = false;
  /** The running machines that were handed out, so that a second recovery finds the same object. */
  readonly #machines = new Map<string, Made>();

  protected abstract egress(): Egress;
  /** Looks whether all is there but egress, by booting a machine. */
  protected abstract probe(): Promise<Fingerprint>;
  /** @throws MachineError `boot_failed`, `network_not_offered`; then nothing of it is left. */
  protected abstract make(spec: MachineSpec): Promise<Made>;
  /**
   * Finds a machine that another process booted, or removes what is left of it.
   *
   * @throws MachineError `destroy_failed`
   */
  protected abstract find(record: MachineRecord): Promise<Made | undefined>;

  /** `egress` comes with a fingerprint or a boot that has found this host to carry it. */
  get networks(): ReadonlySet<MachineNetwork> {
    return this.#networks;
  }

  async fingerprint(): Promise<Fingerprint> {
    const found = await this.probe();
    if (!found.available) return found;
    await this.#learnNetworks();
    return { ...found, details: { ...found.details, egress: await describeEgress(this.egress()) } };
  }

  async boot(spec: MachineSpec): Promise<Machine> {
    // Why this host does not carry egress is known only by trying.
    const offer: Offer = { kind: this.kind, enforces: this.enforces, networks: everyNetwork };
    return await bootInDirectory(offer, spec, async (owned) => {
      const machine = this.#keep(await this.make(owned));
      if (owned.network === "egress") await this.#learnNetworks();
      return machine;
    });
  }

  /**
   * Finds a machine that another process booted. What is left of one that has ended is removed, also when its record
   * has no facts because its node died in the middle of the boot. One that this driver holds is the same object.
   *
   * @throws MachineError `destroy_failed` when something of an ended machine can't be removed.
   */
  async recover(record: MachineRecord): Promise<Machine | undefined> {
    const held = this.#machines.get(record.id);
    if (held !== undefined) return held;
    const found = await this.find(record);
    return found && this.#keep(found);
  }

  async #learnNetworks(): Promise<void> {
    if ((await this.egress().unmetRequirement()) === undefined) this.#networks.add("egress");
  }

  #keep(machine: Made): Made {
    this.#machines.set(machine.id, machine);
    void machine.exited.then(() => {
      if (this.#machines.get(machine.id) === machine) this.#machines.delete(machine.id);
    });
    return machine;
  }
}
