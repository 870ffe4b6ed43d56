import { constants } from "node:fs";
import { access, chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HostEntry } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { hostsText } from "../host/hosts-text.ts";

/** Where a machine looks for names. */
export const guestHosts = "/etc/hosts";

/**
 * Writes the hosts file of a machine, which will lie over the one of the rootfs.
 *
 * @throws MachineError `boot_failed` when the rootfs has none, so that the runtime would make one in it.
 */
export async function writeHostsFile(
  path: string,
  { id, hosts }: { id: string; hosts: readonly HostEntry[] },
  rootfs: string,
): Promise<void> {
  await access(join(rootfs, guestHosts), constants.F_OK).catch((cause: unknown) => {
    const why = `the rootfs has no "${guestHosts}" for its host names to lie over; build it anew`;
    throw bootFailure(id, why, { cause });
  });
  await writeFile(path, hostsText(hosts));
  // Whoever reads it there is nobody here, whatever this process's mask is.
  await chmod(path, 0o444);
}
