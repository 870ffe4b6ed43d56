/** State on this host that all QEMU machines of one driver share. */
import type { EpochChannels } from "../host/attachments.ts";
import type { NextEpoch } from "../microvm/attachment.ts";
import type { MachineFacts } from "../microvm/facts.ts";
import type { Monitor } from "../microvm/machine.ts";
import { findUnmetGuestNetworkRequirement } from "../microvm/requirements.ts";
import { Egress } from "../network/egress.ts";
import { openQemuChannels } from "./channels.ts";
import type { QemuDriverSettings } from "./options.ts";

/** QEMU monitor. Outside their directories, machines use only egress resources of the host. */
export class QemuHost implements Monitor {
  readonly kind = "qemu";
  readonly settings: QemuDriverSettings;
  readonly egress: Egress;

  constructor(settings: QemuDriverSettings) {
    this.settings = settings;
    this.egress = new Egress(settings.egressNetwork, settings.stateDirectory, () =>
      findUnmetGuestNetworkRequirement(settings.boot),
    );
  }

  async openChannels(_machineId: string, next: NextEpoch): Promise<EpochChannels> {
    return await openQemuChannels(next);
  }

  async release(machineId: string, facts: MachineFacts | undefined): Promise<void> {
    if (facts === undefined || facts.egressAddress !== undefined) await this.egress.release(machineId);
  }
}
