import type {
  Driver,
  Fingerprint,
  LimitName,
  Machine,
  MachineNetwork,
  MachineRecord,
  MachineSpec,
} from "../driver.ts";
import { HeldMachines } from "../microvm/held-machines.ts";
import { recoverMicroVm } from "../microvm/recover.ts";
import { Templates } from "../microvm/templates.ts";
import { bootInDirectory } from "../spec.ts";
import { fingerprintFirecracker } from "./fingerprint.ts";
import { FirecrackerHost } from "./host.ts";
import { completeOptions, type FirecrackerDriverOptions } from "./options.ts";
import { FirecrackerCopier } from "./template.ts";

/**
 * Makes machines that are microVMs of Firecracker, each with a kernel of its own, by KVM, and each Firecracker in a jail
 * of the jailer with a user of its own. Needs Linux on x64 and root.
 *
 * Its program runs as the user 1000 of the guest, in an empty directory in memory, on a root that nobody can write. It
 * gets the argument `--channels=sockets:/nex`, and is told `NEX_NODE_LOST_TIMEOUT_MS`:
 *
 * - **Frames** and **calls** are listening sockets that it inherits as the descriptors 3 and 4. The host connects to
 *   both for each epoch, calls first, and begins it on both with 24 bytes: the 16 of `/nex/token`, and the epoch as 64
 *   bits, the lowest byte first; it is answered with the same.
 * - **Stop**: it gets a SIGTERM.
 *
 * Machines that are alike are copies of one whose agent was ready. A copy gets a token, randomness and the time of its
 * own before its agent answers.
 *
 * A machine outlives the node that booted it, and can be recovered from its record.
 */
export class FirecrackerDriver implements Driver {
  readonly kind = "firecracker";
  readonly enforces: ReadonlySet<LimitName> = new Set<LimitName>([
    "memoryBytes",
    "vcpus",
    "processes",
    "diskBytes",
  ]);
  readonly networks: ReadonlySet<MachineNetwork> = new Set<MachineNetwork>(["none", "nats"]);
  readonly ownLoopback = true;
  readonly carriesIpv6 = false;
  readonly #host: FirecrackerHost;
  readonly #templates: Templates<unknown>;
  readonly #machines = new HeldMachines();

  constructor(options: FirecrackerDriverOptions) {
    this.#host = new FirecrackerHost(completeOptions(options));
    this.#templates = new Templates(
      this.#host,
      new FirecrackerCopier(this.#host),
      this.#host.settings.stateDirectory,
    );
  }

  async fingerprint(): Promise<Fingerprint> {
    return await fingerprintFirecracker(this.#host);
  }

  async boot(spec: MachineSpec): Promise<Machine> {
    return await bootInDirectory(this, spec, async (owned) =>
      this.#machines.keep(await this.#templates.boot(owned)),
    );
  }

  /**
   * Finds a machine that another process booted; what is left of one that has ended is removed. One that this driver
   * holds is the same object.
   *
   * @throws MachineError `destroy_failed` when something of an ended machine can't be removed.
   */
  async recover(record: MachineRecord): Promise<Machine | undefined> {
    return await this.#machines.recover(record, () => recoverMicroVm(this.#host, record));
  }

  /** Removes what machines are copied from. */
  async close(): Promise<void> {
    await this.#templates.clear();
    await this.#host.close();
  }
}
