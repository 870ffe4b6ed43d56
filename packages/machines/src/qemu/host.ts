import type { EpochChannels } from "../host/attachments.ts";
import type { NextEpoch } from "../microvm/attachment.ts";
import type { Monitor } from "../microvm/machine.ts";
import { openQemuChannels } from "./channels.ts";
import type { QemuDriverSettings } from "./options.ts";

/** What QEMU is to its machines. Everything of a machine is in its directory. */
export class QemuHost implements Monitor {
  readonly kind = "qemu";
  readonly settings: QemuDriverSettings;

  constructor(settings: QemuDriverSettings) {
    this.settings = settings;
  }

  async openChannels(_machineId: string, next: NextEpoch): Promise<EpochChannels> {
    return await openQemuChannels(next);
  }

  release(): Promise<void> {
    return Promise.resolve();
  }
}
