/** The driver whose machines are microVMs of QEMU. */
import type { Fingerprint } from "../driver.ts";
import { MicroVmDriver } from "../microvm/driver.ts";
import { Templates } from "../microvm/templates.ts";
import { fingerprintQemu } from "./fingerprint.ts";
import { QemuHost } from "./host.ts";
import { completeOptions, type QemuDriverOptions } from "./options.ts";
import { QemuCopier } from "./template.ts";

/**
 * Creates machines that are QEMU microVMs, each with its own kernel, with KVM or emulation. Requires Linux on x64.
 * Root is not required if the node may open `/dev/kvm`.
 *
 * The program runs as user 1000 of the guest, in an empty directory in memory, on a read-only root. It gets the
 * argument `--channels=port:/nex` and the variable `NEX_NODE_LOST_TIMEOUT_MS`:
 *
 * - **Frames** and **calls** are the serial ports `/nex/frames` and `/nex/calls`. Each epoch starts on both ports
 *   with a 24-byte header, first from the node, then from the guest: the 16 bytes of `/nex/token` and the epoch as a
 *   64-bit little-endian number. Data before the header belongs to an older epoch. On the frame port the node repeats
 *   the header until the guest answers.
 * - **Stop**: it gets SIGTERM.
 *
 * A machine's memory holds its kernel, agent and workload; QEMU needs additional memory on the host. The guest's
 * kernel enforces the number of processes, fractional CPUs and the disk limit. QEMU enforces the rest.
 *
 * Identical machines are copies of one whose agent was ready. A copy gets new entropy and the current time before its
 * node uses its channels.
 *
 * A machine with egress has a network card. Its QEMU runs in a separate network namespace that forwards only traffic
 * to listed targets, over IPv4. This requires root.
 *
 * A machine outlives the node that booted it and can be recovered from its record.
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
