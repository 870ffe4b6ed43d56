/** The driver whose machines are microVMs of Firecracker. */
import type { Fingerprint } from "../driver.ts";
import { MicroVmDriver } from "../microvm/driver.ts";
import { Templates } from "../microvm/templates.ts";
import { fingerprintFirecracker } from "./fingerprint.ts";
import { FirecrackerHost } from "./host.ts";
import { completeOptions, type FirecrackerDriverOptions } from "./options.ts";
import { FirecrackerCopier } from "./template.ts";

/**
 * Creates machines that are Firecracker microVMs, each with its own kernel, with KVM. Each Firecracker runs in its
 * own jail under its own user. Requires Linux on x64 and root.
 *
 * The program runs as user 1000 of the guest, in an empty directory in memory, on a read-only root. It gets the
 * argument `--channels=sockets:/nex` and the variable `NEX_NODE_LOST_TIMEOUT_MS`:
 *
 * - **Frames** and **calls** are listening sockets, inherited as descriptors 3 and 4. For each epoch the host
 *   connects to both, calls first. It starts the epoch on both with a 24-byte header: the 16 bytes of `/nex/token`
 *   and the epoch as a 64-bit little-endian number. The guest answers with the same header.
 * - **Stop**: it gets SIGTERM.
 *
 * Identical machines are copies of one whose agent was ready. A copy gets a new token, new entropy and the current
 * time before its agent answers.
 *
 * A machine with egress has a network card. Its Firecracker runs in a separate network namespace that forwards only
 * traffic to listed targets, over IPv4.
 *
 * A machine outlives the node that booted it and can be recovered from its record.
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
