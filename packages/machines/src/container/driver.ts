/** The driver whose machines are containers of an OCI runtime. */
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
 * Creates machines that are containers of an OCI runtime. Each has its own namespaces for users, processes, mounts,
 * network and host name, a seccomp filter, no capabilities, a read-only root and cgroup limits. Requires Linux and
 * root.
 *
 * The program is the container's first process. It runs as user 1000 in an empty directory in memory, with empty
 * standard input. It gets the argument `--channels=connect:/nex` and the variable `NEX_NODE_LOST_TIMEOUT_MS`:
 *
 * - **Frames**: the program connects to `/nex/frames.sock`, retries until it succeeds, and reconnects after every
 *   disconnect. The node speaks first and sends the epoch.
 * - **Calls**: for that epoch, it opens `/nex/req.<epoch>` and `/nex/rep.<epoch>` for reading and writing, which
 *   never blocks. Then it opens `rep` for reading and `req` for writing, and closes the first two. Its calls
 *   therefore end when the node exits.
 * - **Stop**: it gets SIGTERM. The kernel drops the signal if a first process has no handler for it.
 *
 * A machine with egress reaches only the listed targets, over IPv4. A packet filter in the machine's network is
 * installed before its program starts. A second filter on the host blocks traffic to the host itself and to other
 * machines, listed or not. The node enables IPv4 forwarding on the host and leaves it enabled. A machine that lists
 * no target is refused.
 *
 * A machine outlives the node that booted it and can be recovered from its record.
 */
export class ContainerDriver extends DetachedDriver<ContainerMachine> {
  readonly kind = "container";
  readonly rootKind = "directory";
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
