/** Opens the channels of an epoch over QEMU's sockets. */
import type { EpochChannels } from "../host/attachments.ts";
import {
  attachFailure,
  byShortPath,
  connectTo,
  type NextEpoch,
  openChannels,
} from "../microvm/attachment.ts";
import { names } from "./names.ts";

/** Opens the channels of an epoch over QEMU's two sockets. @throws MachineError `attach_failed` */
export async function openQemuChannels(next: NextEpoch): Promise<EpochChannels> {
  const channels = await byShortPath(next.directory, (here) =>
    openChannels(
      next,
      (name, signal) => connectTo(`${here}/${names[name]}`, signal),
      ({ frames }) => frames.begun,
    ),
  );
  return channels ?? Promise.reject(attachFailure("the machine has hung up"));
}
