import type { Fingerprint } from "../driver.ts";
import { MicroVmDriver } from "../microvm/driver.ts";
import { Templates } from "../microvm/templates.ts";
import { fingerprintQemu } from "./fingerprint.ts";
import { QemuHost } from "./host.ts";
import { completeOptions, type QemuDriverOptions } from "./options.ts";
import { QemuCopier } from "./template.ts";

/**
 * Makes machines that are microVMs of QEMU, each with a kernel of its own, by KVM or emulated. Needs Linux on x64, and
 * no root where `/dev/kvm` may be opened.
 *
 * Its program runs as the user 1000 of the guest, in an empty directory in memory, on a root that nobody can write. It
 * gets the argument `--channels=port:/nex`, and is told `NEX_NODE_LOST_TIMEOUT_MS`:
 *
 * - **Frames** and **calls** are the serial ports `/nex/frames` and `/nex/calls`. Each epoch begins on both, in both
 *   directions and from the node's side first, with 24 bytes: the 16 of `/nex/token`, and the epoch as 64 bits, the
 *   lowest byte first. What comes before that is of an epoch that has ended. On the frames the node says it again until
 *   it is answered.
 * - **Stop**: it gets a SIGTERM.
 *
 * The memory of a machine is its own kernel's, its agent's and its workload's; QEMU takes some more of the host. The
 * number of processes, a fraction of a processor and the disk are held by the kernel of the guest, all else by QEMU.
 *
 * Machines that are alike are copies of one whose agent was ready. A copy gets randomness and the time of its own before
 * its node comes to its channels.
 *
 * A machine with egress has a network card; its QEMU then runs in a network of its own, which passes on what is listed,
 * over IPv4, and nothing else. This needs root.
 *
 * A machine outlives the node that booted it, and can be recovered from its record.
 */
export class QemuDriver extends MicroVmDriver {
  readonly kind = "qemu";
  protected readonly monitor: QemuHost;
  protected readonly templates: Templates<unknown>;

  constructor(options: QemuDriverOptions) {
    super();
    this.monitor = new QemuHost(completeOptions(options));
    const { stateDirectory } = this.monitor.settings;
    this.templates = new Templates(this.monitor, new QemuCopier(this.monitor), stateDirectory);
  }

  protected async probe(): Promise<Fingerprint> {
    return await fingerprintQemu(this.monitor);
  }
}
