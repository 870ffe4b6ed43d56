import type { Fingerprint } from "../driver.ts";
import { MicroVmDriver } from "../microvm/driver.ts";
import { Templates } from "../microvm/templates.ts";
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
 * A machine with egress has a network card; its Firecracker then runs in a network of its own, which passes on what is
 * listed, over IPv4, and nothing else.
 *
 * A machine outlives the node that booted it, and can be recovered from its record.
 */
export class FirecrackerDriver extends MicroVmDriver {
  readonly kind = "firecracker";
  protected readonly monitor: FirecrackerHost;
  protected readonly templates: Templates<unknown>;

  constructor(options: FirecrackerDriverOptions) {
    super();
    this.monitor = new FirecrackerHost(completeOptions(options));
    const { stateDirectory } = this.monitor.settings;
    this.templates = new Templates(this.monitor, new FirecrackerCopier(this.monitor), stateDirectory);
  }

  protected async probe(): Promise<Fingerprint> {
    return await fingerprintFirecracker(this.monitor);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.monitor.close();
  }
}
