import { DetachedDriver } from "../detached-driver.ts";
import type { Fingerprint, MachineRecord, MachineSpec } from "../driver.ts";
import type { Egress } from "../network/egress.ts";
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
export class ContainerDriver extends DetachedDriver<ContainerMachine> {
  readonly kind = "container";
  readonly #options: ContainerDriverOptions;
  #host: ContainerHost | undefined;

  constructor(options: ContainerDriverOptions) {
    super();
    this.#options = options;
  }

  protected egress(): Egress {
    return this.#shared().egress;
  }

  protected async probe(): Promise<Fingerprint> {
    return await fingerprintContainer(completeOptions(this.#options), () => this.#shared());
  }

  protected async make(spec: MachineSpec): Promise<ContainerMachine> {
    return await bootContainer(this.#shared(), spec);
  }

  protected async find(record: MachineRecord): Promise<ContainerMachine | undefined> {
    return await recoverContainer(this.#shared(), record);
  }

  #shared(): ContainerHost {
    this.#host ??= new ContainerHost(completeOptions(this.#options));
    return this.#host;
  }
}
