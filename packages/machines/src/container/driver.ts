import type {
  Driver,
  Fingerprint,
  LimitName,
  Machine,
  MachineNetwork,
  MachineRecord,
  MachineSpec,
} from "../driver.ts";
import { everyNetwork } from "../network/demand.ts";
import { bootInDirectory, type Offer } from "../spec.ts";
import { bootContainer } from "./boot.ts";
import { fingerprintContainer } from "./fingerprint.ts";
import { ContainerHost } from "./host.ts";
import type { ContainerMachine } from "./machine.ts";
import { type ContainerDriverOptions, completeOptions } from "./options.ts";
import { recoverContainer } from "./recover.ts";

/**
 * Makes machines that are containers of an OCI runtime: namespaces of their own for users, processes, mounts, network
 * and names, a filter of system calls, no capability, a read-only root, and control groups. Needs Linux and root.
 *
 * Its program is the first process of the container, as the user 1000, in an empty directory in memory, with nothing
 * on standard input. It gets the argument `--channels=connect:/nex`, and is told `NEX_NODE_LOST_TIMEOUT_MS`:
 *
 * - **Frames**: it connects to `/nex/frames.sock`, again and again until it can, and anew whenever they end. The node
 *   speaks first, and tells the epoch.
 * - **Calls**: of that epoch, it opens `/nex/req.<epoch>` and `/nex/rep.<epoch>` for reading and writing, which never
 *   waits; then `rep` for reading and `req` for writing; then it closes the first two. So its calls end with its node.
 * - **Stop**: it gets a SIGTERM, which the kernel keeps from a first process that does not listen to it.
 *
 * A machine with egress reaches what is listed, over IPv4, and nothing else: a packet filter in its own network, set
 * before its program begins, lets nothing else out, and one on the host lets it neither to the host itself nor to
 * another machine, listed or not. The node switches the host's forwarding of IPv4 on for it, and leaves it so. A
 * machine that lists nothing is refused.
 *
 * A machine outlives the node that booted it, and can be recovered from its record.
 */
export class ContainerDriver implements Driver {
  readonly kind = "container";
  readonly enforces: ReadonlySet<LimitName> = new Set<LimitName>([
    "memoryBytes",
    "vcpus",
    "processes",
    "diskBytes",
  ]);
  readonly #networks = new Set<MachineNetwork>(["none", "nats"]);
  readonly ownLoopback = true;
  readonly carriesIpv6 = false;
  readonly #options: ContainerDriverOptions;
  readonly #machines = new Map<string, ContainerMachine>();
  #host: ContainerHost | undefined;

  constructor(options: ContainerDriverOptions) {
    this.#options = options;
  }

  /** `egress` comes with a fingerprint or a boot that has found this host to carry it. */
  get networks(): ReadonlySet<MachineNetwork> {
    return this.#networks;
  }

  async fingerprint(): Promise<Fingerprint> {
    const fingerprint = await fingerprintContainer(completeOptions(this.#options), () => this.#shared());
    if (fingerprint.available) await this.#learnNetworks();
    return fingerprint;
  }

  async boot(spec: MachineSpec): Promise<Machine> {
    // Why this host does not carry egress is known only by trying.
    const offer: Offer = { kind: this.kind, enforces: this.enforces, networks: everyNetwork };
    return await bootInDirectory(offer, spec, async (owned) => {
      const machine = this.#keep(await bootContainer(this.#shared(), owned));
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
    if (held) return held;
    const found = await recoverContainer(this.#shared(), record);
    return found && this.#keep(found);
  }

  async #learnNetworks(): Promise<void> {
    if ((await this.#shared().egress.lack()) === undefined) this.#networks.add("egress");
  }

  #shared(): ContainerHost {
    this.#host ??= new ContainerHost(completeOptions(this.#options));
    return this.#host;
  }

  #keep(machine: ContainerMachine): ContainerMachine {
    this.#machines.set(machine.id, machine);
    const forget = (): void => {
      if (this.#machines.get(machine.id) === machine) this.#machines.delete(machine.id);
    };
    void machine.exited.then(forget);
    return machine;
  }
}
