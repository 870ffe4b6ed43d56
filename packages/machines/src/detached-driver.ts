/** Base class of drivers whose machines are no children of their node and can outlive it. */
import type {
  Driver,
  Fingerprint,
  LimitName,
  Machine,
  MachineNetwork,
  MachineRecord,
  MachineRoot,
  MachineSpec,
  SandboxKind,
} from "./driver.ts";
import type { DetachedMachine } from "./host/detached-machine.ts";
import { describeEgress } from "./network/describe.ts";
import type { Egress } from "./network/egress.ts";
import { bootInDirectory, type Offer } from "./spec.ts";

/** Networks accepted before the host has been probed. */
const everyNetwork: ReadonlySet<MachineNetwork> = new Set<MachineNetwork>(["none", "nats", "egress"]);

/** Base class of drivers whose machines outlive the process that booted them and can have egress. */
export abstract class DetachedDriver<Made extends DetachedMachine> implements Driver {
  abstract readonly kind: SandboxKind;
  readonly enforces: ReadonlySet<LimitName> = new Set<LimitName>([
    "memoryBytes",
    "vcpus",
    "processes",
    "diskBytes",
  ]);
  readonly #networks = new Set<MachineNetwork>(["none", "nats"]);
  abstract readonly rootKind: MachineRoot["kind"];
  readonly ownLoopback = true;
  readonly carriesIpv6 = false;
  /** Running machines by id, so that a second recovery returns the same object. */
  readonly #machines = new Map<string, Made>();

  protected abstract egress(): Egress;
  /** Boots a machine to check all requirements except egress. */
  protected abstract probe(): Promise<Fingerprint>;
  /** @throws MachineError `boot_failed` or `network_not_offered`; nothing is left behind. */
  protected abstract make(spec: MachineSpec): Promise<Made>;
  /**
   * Recovers a machine that another process booted, or cleans up after it.
   *
   * @throws MachineError `destroy_failed`
   */
  protected abstract find(record: MachineRecord): Promise<Made | undefined>;

  /** Contains `egress` once a fingerprint or a boot has found that this host supports it. */
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
    // Only a probe can tell why this host lacks egress, so a missing `egress` is not refused here.
    const { kind, enforces, rootKind } = this;
    const offer: Offer = { kind, enforces, rootKind, networks: everyNetwork };
    return await bootInDirectory(offer, spec, async (owned) => {
      const machine = this.#keep(await this.make(owned));
      if (owned.network === "egress") await this.#learnNetworks();
      return machine;
    });
  }

  /**
   * Recovers a machine that another process booted. Cleans up after a machine that has exited, even if its record has
   * no facts because the node crashed during boot. Returns the same object for a machine that this driver already
   * holds.
   *
   * @throws MachineError `destroy_failed` if cleanup fails.
   */
  async recover(record: MachineRecord): Promise<Machine | undefined> {
    const held = this.#machines.get(record.id);
    if (held?.isDetached === false) return held;
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
